//! Skips work whose inputs and outputs are as the last run left them.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash, Hasher},
    io,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::run;

/// Folders that are made from what lies beside them.
const NOT_SOURCE: [&str; 3] = ["dist", "node_modules", "target"];

/// Remembers by content, not by time: a checkout or a copy changes every file's time.
pub(crate) struct Stamp {
    file: PathBuf,
    inputs: Vec<&'static str>,
    output: PathBuf,
}

impl Stamp {
    /// Paths are relative to the workspace; a folder stands for all of its files.
    pub(crate) fn new(name: &str, inputs: &[&'static str], output: impl AsRef<Path>) -> Self {
        let file = run::target_dir().join("xtask").join(name);
        Self { file, inputs: inputs.to_vec(), output: output.as_ref().to_owned() }
    }

    /// Whether nothing changed since [`Stamp::set`].
    pub(crate) fn holds(&self) -> bool {
        match (fs::read_to_string(&self.file), self.state()) {
            (Ok(then), Ok(now)) => then == now,
            _ => false,
        }
    }

    /// Call it when the work is done.
    pub(crate) fn set(&self) -> Result<()> {
        let folder = self.file.parent().context("the stamp lies in a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&self.file, self.state()?)?;
        Ok(())
    }

    fn state(&self) -> io::Result<String> {
        let mut hasher = DefaultHasher::new();
        for path in self.inputs.iter().map(Path::new).chain([&*self.output]) {
            hash(&run::root().join(path), &mut hasher)?;
        }
        Ok(format!("{:016x}", hasher.finish()))
    }
}

fn hash(path: &Path, hasher: &mut DefaultHasher) -> io::Result<()> {
    path.hash(hasher);
    if !path.is_dir() {
        fs::read(path)?.hash(hasher);
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if !NOT_SOURCE.iter().any(|name| entry.file_name() == *name) {
            entries.push(entry.path());
        }
    }
    entries.sort();
    entries.iter().try_for_each(|entry| hash(entry, hasher))
}
