//! `dromon image`: the runtime's images, whether the cluster runs or not.

use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use oci_client::secrets::RegistryAuth;
use runtime::images::Store;
use stdx::Clock;

use crate::cli::{At, Image};
use crate::layout::Layout;
use crate::progress::say;

pub fn run(command: Image) -> Result<()> {
    match command {
        Image::Import { at, archive } => import(&open(&at)?, &archive),
        Image::Pull { at, image, creds } => pull(&open(&at)?, &image, creds.as_deref()),
        Image::Ls { at } => list(&open(&at)?),
        Image::Rm { at, images } => remove(&open(&at)?, &images),
    }
}

fn open(at: &At) -> Result<Store> {
    let layout = Layout::create(&at.data_dir)?;
    Store::open(&layout.images(), Clock::system()).context("cannot open the image store")
}

fn import(store: &Store, archive: &Path) -> Result<()> {
    let mut input: Box<dyn Read> = if archive == Path::new("-") {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(archive).with_context(|| format!("cannot open {}", archive.display()))?)
    };
    let imported = store.import(&mut input, |record| {
        for name in &record.names {
            say(&format!("imported {name}  {}", short(&record.id)));
        }
    });
    imported.with_context(|| format!("cannot import {}", archive.display()))?;
    Ok(())
}

fn pull(store: &Store, image: &str, creds: Option<&str>) -> Result<()> {
    let auth = match creds.map(|creds| creds.split_once(':')) {
        None => RegistryAuth::Anonymous,
        Some(Some((user, password))) => RegistryAuth::Basic(user.into(), password.into()),
        Some(None) => bail!("--creds wants USER:PASSWORD"),
    };
    let terminal = io::stderr().is_terminal();
    let progress = Arc::new(move |done: u64, total: u64| {
        if terminal {
            // Progress is for looking at; where it cannot be shown, the pull goes on.
            let _ = write!(io::stderr(), "\r{:.1} of {:.1} MB", megabytes(done), megabytes(total));
        }
    });
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    // Without a provider chosen here, TLS would find none or two.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let record = runtime
        .block_on(store.fetch(image, auth, progress))
        .with_context(|| format!("cannot pull {image}"))?;
    if terminal {
        eprintln!();
    }
    say(&format!(
        "pulled {}  {}",
        record.names.first().or(record.digests.first()).map_or("", String::as_str),
        short(&record.id)
    ));
    Ok(())
}

fn list(store: &Store) -> Result<()> {
    let index = store.index().context("cannot read the images")?;
    say(&format!("{:<60} {:<14} {:>10}", "IMAGE", "ID", "SIZE"));
    for record in index.images.values() {
        for name in record.names.iter().chain(record.digests.iter().filter(|_| record.names.is_empty())) {
            say(&format!("{name:<60} {:<14} {:>7.1} MB", short(&record.id), megabytes(record.size)));
        }
    }
    Ok(())
}

fn remove(store: &Store, images: &[String]) -> Result<()> {
    for image in images {
        if !store.forget(image).with_context(|| format!("cannot remove {image}"))? {
            bail!("no such image: {image}");
        }
        say(&format!("removed {image}"));
    }
    Ok(())
}

fn short(id: &str) -> &str {
    let hex = id.trim_start_matches("sha256:");
    &hex[..hex.len().min(12)]
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
