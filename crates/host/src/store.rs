//! The embedded state: what the agent must know again after it was killed.
//!
//! One file, one transaction per change (redb). Documents are JSON, so that a newer agent can read
//! what an older one wrote.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Context;
use redb::{Database, ReadableDatabase, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;

const DOCUMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");

/// The store of one agent. The file is locked: a second agent of the same instance does not start.
pub(crate) struct Store {
    database: Database,
}

impl Store {
    /// Opens the store, or makes it.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Store> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)
                .with_context(|| format!("cannot make {}", directory.display()))?;
        }
        let database = Database::create(path).with_context(|| {
            format!(
                "cannot open the state store {} (is another agent running?)",
                path.display()
            )
        })?;
        // It says who may talk to whom, which is nobody's business but root's.
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot protect {}", path.display()))?;
        Ok(Store { database })
    }

    /// The document of this name.
    pub(crate) fn get<T: DeserializeOwned>(&self, name: &str) -> anyhow::Result<Option<T>> {
        let transaction = self
            .database
            .begin_read()
            .context("cannot read the state store")?;
        let table = match transaction.open_table(DOCUMENTS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(error).context("cannot read the state store"),
        };
        let Some(value) = table.get(name).context("cannot read the state store")? else {
            return Ok(None);
        };
        let document = serde_json::from_slice(value.value())
            .with_context(|| format!("document `{name}` of the state store is not readable"))?;
        Ok(Some(document))
    }

    /// Writes a document; it is on the disk when this returns.
    pub(crate) fn put<T: Serialize>(&self, name: &str, document: &T) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(document).context("cannot write the state")?;
        let transaction = self
            .database
            .begin_write()
            .context("cannot write the state store")?;
        {
            let mut table = transaction
                .open_table(DOCUMENTS)
                .context("cannot write the state store")?;
            table
                .insert(name, bytes.as_slice())
                .context("cannot write the state store")?;
        }
        transaction.commit().context("cannot write the state store")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_there_after_the_store_was_closed() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("deep/state.redb");
        let store = Store::open(&path).expect("a new store");
        assert_eq!(store.get::<Vec<u16>>("ports").expect("readable"), None);
        store.put("ports", &vec![1_u16, 7]).expect("writable");
        assert!(
            Store::open(&path).is_err(),
            "a second agent must not open it"
        );
        drop(store);
        let store = Store::open(&path).expect("the same store");
        assert_eq!(
            store.get::<Vec<u16>>("ports").expect("readable"),
            Some(vec![1, 7])
        );
    }
}
