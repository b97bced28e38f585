//! The one way to change the World: a compare-and-swap of its revision, with the objects and their history in the
//! same transaction. What was acknowledged is on disk.

use creel_core::world::Decision;
use jiff::Timestamp;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;

use crate::load::number;
use crate::object::{Kind, Row};
use crate::{Fault, Store};

/// Nothing was committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// Someone else wrote first: load, decide again, commit again.
    #[error("the World is at revision {found} by now; it has to be read and decided on again")]
    Conflict {
        /// The revision that it is at.
        found: u64,
    },
    /// The database refused.
    #[error("nothing was committed")]
    Fault(#[from] Fault),
}

impl From<sqlx::Error> for CommitError {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(error.into())
    }
}

impl Store {
    /// Commits these decisions on top of `expected_revision` and gives the new revision. No decisions, no commit:
    /// the revision stays. `who` is `admin`, `planner`, `registry` or `node/NAME`.
    pub async fn commit(
        &self,
        expected_revision: u64,
        who: &str,
        decisions: &[Decision],
        now: Timestamp,
    ) -> Result<u64, CommitError> {
        if decisions.is_empty() {
            return Ok(expected_revision);
        }
        let rows: Vec<Row> =
            decisions.iter().map(|decision| Row::of(&decision.change)).collect::<Result<_, _>>()?;
        let mut writer = self.sound_writer().await?;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await?;
        let revision = swap(&mut writing, expected_revision).await?;
        for (ordinal, (row, decision)) in rows.iter().zip(decisions).enumerate() {
            let key = shown_key(&mut writing, row).await?;
            put(&mut writing, row, revision).await?;
            let line = Line { revision, ordinal, now, who, key: &key, row, why: &decision.why };
            note(&mut writing, &line).await?;
        }
        writing.commit().await?;
        Ok(revision)
    }
}

async fn swap(writing: &mut SqliteConnection, expected: u64) -> Result<u64, CommitError> {
    let next = expected + 1;
    let swapped = sqlx::query("UPDATE meta SET value = $1 WHERE name = 'revision' AND value = $2")
        .bind(next.cast_signed())
        .bind(expected.cast_signed())
        .execute(&mut *writing)
        .await?;
    match swapped.rows_affected() {
        0 => Err(CommitError::Conflict { found: number(writing, "revision").await? }),
        _ => Ok(next),
    }
}

/// A removed agent's change tells only its uid; people know it by tenant and name.
async fn shown_key(writing: &mut SqliteConnection, row: &Row) -> Result<String, Fault> {
    if let Some(key) = &row.shown_key {
        return Ok(key.clone());
    }
    let body: Option<String> = sqlx::query_scalar("SELECT body FROM object WHERE kind = $1 AND key = $2")
        .bind(row.kind.to_string())
        .bind(&row.key)
        .fetch_optional(writing)
        .await?;
    let record: Option<serde_json::Value> = body.and_then(|body| serde_json::from_str(&body).ok());
    let part = |name: &str| record.as_ref()?.get(name)?.as_str().map(str::to_owned);
    Ok(part("tenant").zip(part("name")).map_or(row.key.clone(), |(tenant, name)| format!("{tenant}/{name}")))
}

async fn put(writing: &mut SqliteConnection, row: &Row, revision: u64) -> Result<(), Fault> {
    let Some(body) = &row.body else { return remove(writing, row).await };
    sqlx::query(
        "INSERT INTO object (kind, key, body, revision) VALUES ($1, $2, $3, $4)
         ON CONFLICT (kind, key) DO UPDATE SET body = excluded.body, revision = excluded.revision",
    )
    .bind(row.kind.to_string())
    .bind(&row.key)
    .bind(body.to_string())
    .bind(revision.cast_signed())
    .execute(writing)
    .await?;
    Ok(())
}

async fn remove(writing: &mut SqliteConnection, row: &Row) -> Result<(), Fault> {
    sqlx::query("DELETE FROM object WHERE kind = $1 AND key = $2")
        .bind(row.kind.to_string())
        .bind(&row.key)
        .execute(&mut *writing)
        .await?;
    if row.kind == Kind::Agent {
        sqlx::query("DELETE FROM report WHERE agent = $1").bind(&row.key).execute(writing).await?;
    }
    Ok(())
}

struct Line<'a> {
    revision: u64,
    ordinal: usize,
    now: Timestamp,
    who: &'a str,
    key: &'a str,
    row: &'a Row,
    why: &'a str,
}

async fn note(writing: &mut SqliteConnection, line: &Line<'_>) -> Result<(), Fault> {
    sqlx::query(
        "INSERT INTO history (revision, ordinal, at, who, kind, key, why, after)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(line.revision.cast_signed())
    .bind(i64::try_from(line.ordinal).unwrap_or(i64::MAX))
    .bind(line.now.as_microsecond())
    .bind(line.who)
    .bind(line.row.kind.to_string())
    .bind(line.key)
    .bind(line.why)
    .bind(line.row.shown().map(|after| after.to_string()))
    .execute(writing)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use creel_core::world::{Change, ReleaseRecord};

    use super::*;

    fn release(version: &str, why: &str) -> Decision {
        let record =
            ReleaseRecord { version: version.into(), wanted_at: Timestamp::UNIX_EPOCH, unwanted: false };
        Decision { change: Change::Release(version.into(), Some(record)), why: why.into() }
    }

    #[tokio::test]
    async fn a_full_disk_refuses_the_commit_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("creel.db")).await.unwrap();
        store.commit(0, "admin", &[release("2026.9.6", "small")], Timestamp::UNIX_EPOCH).await.unwrap();
        // The database's own limit of pages answers as a full disk does.
        sqlx::query("PRAGMA max_page_count = 1").execute(&mut *store.writer.lock().await).await.unwrap();
        let big = "much ".repeat(100_000);
        let refused = store.commit(1, "admin", &[release("2026.9.7", &big)], Timestamp::UNIX_EPOCH).await;
        assert!(matches!(refused, Err(CommitError::Fault(Fault::Full(_)))), "{refused:?}");
        let world = store.load().await.unwrap();
        assert_eq!((world.revision, world.releases.len()), (1, 1));
        // Whatever the failure did to the connection's transaction, the next commit works once there is room.
        sqlx::query("PRAGMA max_page_count = 1000000")
            .execute(&mut *store.writer.lock().await)
            .await
            .unwrap();
        store.commit(1, "admin", &[release("2026.9.7", &big)], Timestamp::UNIX_EPOCH).await.unwrap();
    }

    #[tokio::test]
    async fn a_transaction_that_the_database_ended_by_itself_spoils_no_later_commit() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("creel.db")).await.unwrap();
        let mut writer = store.writer.lock().await;
        let mut writing = writer.begin_with("BEGIN IMMEDIATE").await.unwrap();
        sqlx::query("ROLLBACK").execute(&mut *writing).await.unwrap();
        drop(writing);
        drop(writer);
        store.commit(0, "admin", &[release("2026.9.6", "small")], Timestamp::UNIX_EPOCH).await.unwrap();
    }
}
