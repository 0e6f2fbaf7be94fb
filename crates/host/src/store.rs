//! The embedded state: what the agent must know again after it was killed.
//!
//! One file (redb), in which the desired state is kept in parts (see [`parts`]), one JSON document
//! each: a change writes the parts that differ, all in one transaction. So after a kill the state is
//! that before the change or that after it. A change is in the store, and on the disk, before
//! anything is made of it: what was ever in force is known again.

mod parts;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::agent::Desired;
use parts::{Part, Parts};

const DOCUMENTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");

/// The store of one agent. The file is locked: a second agent of the same instance does not start.
pub(crate) struct Store {
    database: Arc<Database>,
}

/// What the store holds, so that only what differs is written.
#[derive(Debug, Default)]
pub(crate) struct Kept(Desired);

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
        Ok(Store {
            database: Arc::new(database),
        })
    }

    /// The desired state, and what of it is in the store as it would be written today.
    pub(crate) fn load(&self) -> anyhow::Result<(Desired, Kept)> {
        let broken = "cannot read the state store";
        let transaction = self.database.begin_read().context(broken)?;
        let table = match transaction.open_table(DOCUMENTS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(Default::default()),
            Err(error) => return Err(error).context(broken),
        };
        if let Some(whole) = table.get(parts::WHOLE).context(broken)? {
            return Ok((parts::read_whole(whole.value())?, Kept::default()));
        }
        let mut parts = Parts::default();
        for entry in table.iter().context(broken)? {
            let (key, value) = entry.context(broken)?;
            parts.read(key.value(), value.value())?;
        }
        let desired = parts.finish();
        Ok((desired.clone(), Kept(desired)))
    }

    /// Writes what `wanted` has otherwise than `kept`; it is on the disk when this returns. False
    /// when there was nothing to write.
    pub(crate) async fn keep(&self, kept: &mut Kept, wanted: &Desired) -> anyhow::Result<bool> {
        let changed = parts::changed(&kept.0, wanted).context("cannot write the state")?;
        if changed.is_empty() {
            return Ok(false);
        }
        let database = Arc::clone(&self.database);
        // A disk may take its time.
        tokio::task::spawn_blocking(move || write(&database, &changed))
            .await
            .context("cannot write the state store")?
            .context("cannot write the state store")?;
        *kept = Kept(wanted.clone());
        Ok(true)
    }
}

fn write(database: &Database, changed: &[Part]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    put(&transaction, changed)?;
    Ok(transaction.commit()?)
}

fn put(transaction: &WriteTransaction, changed: &[Part]) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(DOCUMENTS)?;
    // Until the first change, an older agent's state is as that one wrote it.
    table.remove(parts::WHOLE)?;
    for (key, document) in changed {
        match document {
            Some(document) => table.insert(key.as_str(), document.as_slice())?,
            None => table.remove(key.as_str())?,
        };
    }
    Ok(())
}

#[cfg(test)]
mod tests;
