//! The command line alone, without the rest of the binary.

fn main() {
    let line: Vec<String> = std::env::args().skip(1).collect();
    std::process::exit(kubectl::run(&line));
}
