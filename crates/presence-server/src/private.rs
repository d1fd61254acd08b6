//! Files that hold secrets: they are for their owner alone.

use std::{fs::File, io, path::Path};

/// Opens a file that is read and written, or makes one that nobody else can open, however the
/// process is set up to make files. Warns if there is one that others can open.
#[cfg(feature = "store")]
pub(crate) fn open_or_create(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    warn_if_open(path, &file)?;
    Ok(file)
}

/// Reads a file. Warns if others can open it.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    warn_if_open(path, &file)?;
    let mut content = Vec::new();
    io::Read::read_to_end(&mut file, &mut content)?;
    Ok(content)
}

/// Warns if a file that holds secrets can be opened by its group or by all.
#[cfg(unix)]
fn warn_if_open(path: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & 0o066 != 0 {
        let path = path.display();
        tracing::warn!(
            "{path} holds secrets and is not for its owner alone (mode {mode:04o}): chmod 600 {path}"
        );
    }
    Ok(())
}

/// There are no modes here.
#[cfg(not(unix))]
fn warn_if_open(_path: &Path, _file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix, feature = "store"))]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::MetadataExt as _};

    #[test]
    fn a_new_file_is_for_its_owner_alone_before_there_is_a_byte_in_it() {
        let path = std::env::temp_dir().join(format!("presence-private-{}", std::process::id()));
        let made = open_or_create(&path).unwrap().metadata().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!((made.len(), made.mode() & 0o7777), (0, 0o600));
    }
}
