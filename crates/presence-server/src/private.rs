//! Files with secrets, which only their owner should be able to access.

use std::{fs::File, io, path::Path};

/// Opens a file for reading and writing, or creates it with mode 0600 whatever the umask. Logs a
/// warning if other users can access an existing file.
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

/// Reads a file. Logs a warning if other users can access it.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    warn_if_open(path, &file)?;
    let mut content = Vec::new();
    io::Read::read_to_end(&mut file, &mut content)?;
    Ok(content)
}

/// Logs a warning if the group or others have access to a file.
#[cfg(unix)]
fn warn_if_open(path: &Path, file: &File) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let mode = file.metadata()?.mode() & 0o7777;
    if mode & 0o066 != 0 {
        let path = path.display();
        tracing::warn!(
            "{path} contains secrets and other users can access it (mode {mode:04o}): chmod 600 {path}"
        );
    }
    Ok(())
}

/// This platform has no file modes.
#[cfg(not(unix))]
fn warn_if_open(_path: &Path, _file: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, unix, feature = "store"))]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::MetadataExt as _};

    #[test]
    fn a_new_file_is_private_while_it_is_still_empty() {
        let path = std::env::temp_dir().join(format!("presence-private-{}", std::process::id()));
        let created = open_or_create(&path).unwrap().metadata().unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!((created.len(), created.mode() & 0o7777), (0, 0o600));
    }
}
