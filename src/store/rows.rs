//! Several rows in one statement: each statement is a way to the database's thread and back, which is most of its cost, and
//! while a transaction goes that way for every row of it others wait.

use sqlx::query_builder::Separated;
use sqlx::{Encode, QueryBuilder, Sqlite, SqliteConnection, Type};

/// Rows of one statement at most; each number of them is a statement that is kept prepared.
const ROWS_AT_ONCE: usize = 16;
/// Statements that a connection keeps prepared: of each kind, all numbers of rows.
pub(super) const PREPARED: usize = 24 * ROWS_AT_ONCE;

/// The values of a row, to be given in the order of its columns.
pub(super) type Values<'a> = Separated<'a, Sqlite, &'static str>;

/// Inserts rows. `into` names the table and its columns, `behind` what stands behind the values.
pub(super) async fn insert<T>(
    to: &mut SqliteConnection,
    into: &'static str,
    behind: &'static str,
    rows: &[T],
    mut put: impl FnMut(&mut Values<'_>, &T),
) -> Result<(), sqlx::Error> {
    for some in rows.chunks(ROWS_AT_ONCE) {
        let mut statement = QueryBuilder::new(into);
        statement.push_values(some, |mut values, row| put(&mut values, row));
        statement.push(behind);
        statement.build().execute(&mut *to).await?;
    }
    Ok(())
}

/// Does something with all rows of these keys, which stand in brackets behind the statement.
pub(super) async fn of_keys<'k, K>(
    to: &mut SqliteConnection,
    statement: &'static str,
    keys: &[K],
) -> Result<(), sqlx::Error>
where
    K: 'k + Copy + Encode<'k, Sqlite> + Type<Sqlite>,
{
    for some in keys.chunks(ROWS_AT_ONCE) {
        let mut all = QueryBuilder::new(statement);
        all.push(" (");
        let mut listed = all.separated(", ");
        for key in some {
            listed.push_bind(*key);
        }
        all.push(")");
        all.build().execute(&mut *to).await?;
    }
    Ok(())
}
