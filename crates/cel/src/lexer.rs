//! Text to tokens.

/// A token and the number of characters before it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub at: usize,
    pub kind: TokenKind,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TokenKind {
    Name(String),
    Int(i64),
    Uint(u64),
    Double(f64),
    Text(String),
    Bytes(Vec<u8>),
    Sign(&'static str),
    End,
}

/// Where and why a text cannot be read.
pub(crate) type Failure = (usize, String);

const SIGNS: [&str; 25] = [
    "&&", "||", "==", "!=", "<=", ">=", ".?", "[?", "{?", "?", "<", ">", "!", "+", "-", "*", "/", "%", "(",
    ")", "[", "]", "{", "}", ",",
];
const MORE_SIGNS: [&str; 2] = [".", ":"];

/// Longest text that is read, in characters.
const LONGEST: usize = 100_000;

pub(crate) fn tokens(text: &str) -> Result<Vec<Token>, Failure> {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > LONGEST {
        return Err((
            0,
            format!("expression code point size exceeds limit: size: {}, limit {LONGEST}", chars.len()),
        ));
    }
    let mut lexer = Lexer { chars: &chars, at: 0, out: Vec::new() };
    lexer.run()?;
    Ok(lexer.out)
}

struct Lexer<'a> {
    chars: &'a [char],
    at: usize,
    out: Vec<Token>,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn push(&mut self, at: usize, kind: TokenKind) {
        self.out.push(Token { at, kind });
    }

    fn run(&mut self) -> Result<(), Failure> {
        loop {
            let (start, c) = (self.at, self.peek(0));
            if self.at >= self.chars.len() {
                self.push(start, TokenKind::End);
                return Ok(());
            }
            match c {
                ' ' | '\t' | '\n' | '\r' | '\x0c' => self.at += 1,
                '/' if self.peek(1) == '/' => {
                    while self.at < self.chars.len() && self.peek(0) != '\n' {
                        self.at += 1;
                    }
                }
                '0'..='9' => self.number(start)?,
                '.' if self.peek(1).is_ascii_digit() => self.number(start)?,
                '"' | '\'' => self.text(start, false, false)?,
                _ if self.prefixed_text() => self.prefixed(start)?,
                'a'..='z' | 'A'..='Z' | '_' => self.name(start),
                '`' => self.quoted_name(start)?,
                _ => self.sign(start, c)?,
            }
        }
    }

    fn name(&mut self, start: usize) {
        while self.peek(0).is_ascii_alphanumeric() || self.peek(0) == '_' {
            self.at += 1;
        }
        self.push(start, TokenKind::Name(self.chars[start..self.at].iter().collect()));
    }

    fn quoted_name(&mut self, start: usize) -> Result<(), Failure> {
        self.at += 1;
        while self.at < self.chars.len() && self.peek(0) != '`' {
            self.at += 1;
        }
        if self.at >= self.chars.len() {
            return Err((start, "Syntax error: token recognition error at: '`'".into()));
        }
        let name = self.chars[start + 1..self.at].iter().collect();
        self.at += 1;
        self.push(start, TokenKind::Name(name));
        Ok(())
    }

    fn sign(&mut self, start: usize, c: char) -> Result<(), Failure> {
        let is_here = |sign: &&&str| sign.chars().enumerate().all(|(index, c)| self.peek(index) == c);
        let Some(sign) = SIGNS.iter().chain(&MORE_SIGNS).find(is_here) else {
            return Err((start, format!("Syntax error: token recognition error at: '{c}'")));
        };
        self.at += sign.len();
        self.push(start, TokenKind::Sign(sign));
        Ok(())
    }

    fn number(&mut self, start: usize) -> Result<(), Failure> {
        let hex = self.peek(0) == '0' && matches!(self.peek(1), 'x' | 'X');
        let mut float = false;
        if hex {
            self.at += 2;
            while self.peek(0).is_ascii_hexdigit() {
                self.at += 1;
            }
        } else {
            self.digits();
            if self.peek(0) == '.' && self.peek(1).is_ascii_digit() {
                float = true;
                self.at += 1;
                self.digits();
            }
            if matches!(self.peek(0), 'e' | 'E') {
                float = true;
                self.at += 1;
                if matches!(self.peek(0), '+' | '-') {
                    self.at += 1;
                }
                self.digits();
            }
        }
        let text: String = self.chars[start..self.at].iter().collect();
        let invalid = |kind: &str| (start, format!("invalid {kind} literal"));
        let digits = if hex { &text[2..] } else { &text };
        let radix = if hex { 16 } else { 10 };
        let kind = if float {
            TokenKind::Double(text.parse().map_err(|_| invalid("double"))?)
        } else if matches!(self.peek(0), 'u' | 'U') {
            self.at += 1;
            TokenKind::Uint(u64::from_str_radix(digits, radix).map_err(|_| invalid("uint"))?)
        } else {
            // One more than the largest may stand behind a minus.
            match u64::from_str_radix(digits, radix) {
                Ok(value) if value <= i64::MAX as u64 => TokenKind::Int(value as i64),
                Ok(value)
                    if value == 1 << 63
                        && self.out.last().is_some_and(|t| t.kind == TokenKind::Sign("-")) =>
                {
                    self.out.pop();
                    TokenKind::Int(i64::MIN)
                }
                _ => return Err(invalid("int")),
            }
        };
        self.push(start, kind);
        Ok(())
    }

    fn digits(&mut self) {
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    /// `r"…"`, `b"…"`, `rb"…"`.
    fn prefixed_text(&self) -> bool {
        let is_prefix = |c: char| matches!(c, 'r' | 'R' | 'b' | 'B');
        let is_quote = |c: char| matches!(c, '"' | '\'');
        is_prefix(self.peek(0))
            && (is_quote(self.peek(1)) || (is_prefix(self.peek(1)) && is_quote(self.peek(2))))
    }

    fn prefixed(&mut self, start: usize) -> Result<(), Failure> {
        let (mut raw, mut bytes) = (false, false);
        while !matches!(self.peek(0), '"' | '\'') {
            raw |= matches!(self.peek(0), 'r' | 'R');
            bytes |= matches!(self.peek(0), 'b' | 'B');
            self.at += 1;
        }
        self.text(start, raw, bytes)
    }

    fn text(&mut self, start: usize, raw: bool, bytes: bool) -> Result<(), Failure> {
        let quote = self.peek(0);
        let triple = self.peek(1) == quote && self.peek(2) == quote;
        self.at += if triple { 3 } else { 1 };
        let mut out: Vec<u8> = Vec::new();
        let unended = (start, format!("Syntax error: token recognition error at: '{quote}'"));
        loop {
            let c = self.peek(0);
            if self.at >= self.chars.len() || (!triple && c == '\n') {
                return Err(unended);
            }
            if c == quote && (!triple || (self.peek(1) == quote && self.peek(2) == quote)) {
                self.at += if triple { 3 } else { 1 };
                break;
            }
            self.at += 1;
            if c == '\\' && !raw {
                self.escape(start, bytes, &mut out)?;
            } else {
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        let kind = match bytes {
            true => TokenKind::Bytes(out),
            false => {
                TokenKind::Text(String::from_utf8(out).map_err(|_| (start, "invalid UTF-8".to_owned()))?)
            }
        };
        self.push(start, kind);
        Ok(())
    }

    fn escape(&mut self, start: usize, bytes: bool, out: &mut Vec<u8>) -> Result<(), Failure> {
        let c = self.peek(0);
        self.at += 1;
        let simple = match c {
            'a' => 7,
            'b' => 8,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            '\\' | '\'' | '"' | '`' | '?' => c as u8,
            'x' | 'X' => return self.code(2, 16, bytes, start, out),
            'u' => return self.code(4, 16, false, start, out),
            'U' => return self.code(8, 16, false, start, out),
            '0'..='3' => {
                self.at -= 1;
                return self.code(3, 8, bytes, start, out);
            }
            _ => return Err((start, format!("Syntax error: token recognition error at: '\\{c}'"))),
        };
        out.push(simple);
        Ok(())
    }

    fn code(
        &mut self,
        count: usize,
        radix: u32,
        byte: bool,
        start: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let end = (self.at + count).min(self.chars.len());
        let digits: String = self.chars[self.at..end].iter().collect();
        let invalid = || (start, "invalid escape sequence".to_owned());
        let code = u32::from_str_radix(&digits, radix).map_err(|_| invalid())?;
        self.at = end;
        if byte {
            out.push(code as u8);
            return Ok(());
        }
        let c = char::from_u32(code).ok_or_else(invalid)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }
}
