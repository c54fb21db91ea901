//! The SQLite of the Durable Object, as the core's [`Sql`] asks for it.

use splitway_core::sql::{Cell, Sql};
use splitway_core::storage::{DOCUMENT_MAX_AT_EDGE, StorageError};
use worker::Storage;
use worker::js_sys::{Array, Iterator};
use worker::wasm_bindgen::JsValue;
use worker::wasm_bindgen::closure::ScopedClosure;
use worker::worker_sys::types::SqlStorage;

use crate::platform::call;
use crate::telemetry::message;

/// What the runtime says where there is no room: SQLite's own code, and the limits of an object.
const FULL: [&str; 3] = ["SQLITE_FULL", "SQLITE_TOOBIG", "Exceeded allowed"];

/// The database of one object.
pub(crate) struct Database {
    storage: Storage,
    sql: SqlStorage,
}

impl Database {
    pub(crate) fn new(storage: Storage) -> Self {
        let sql = storage.as_raw().sql();
        Self { storage, sql }
    }
}

impl Sql for Database {
    fn document_max(&self) -> usize {
        DOCUMENT_MAX_AT_EDGE
    }

    fn query(&self, sql: &str, values: &[Cell]) -> Result<Vec<Vec<Cell>>, StorageError> {
        let bindings: Array = values.iter().map(bound).collect();
        let cursor = self.sql.exec(sql, bindings).map_err(|error| failure(&error))?;
        rows(&cursor.raw())
    }

    fn atomically(
        &self,
        work: &mut dyn FnMut() -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut failed = None;
        // What is thrown inside takes everything back.
        let mut run = || {
            work().map_err(|error| {
                failed = Some(error);
                JsValue::from("the work of the transaction failed")
            })
        };
        let done = {
            let closure = ScopedClosure::<dyn FnMut() -> Result<(), JsValue>>::borrow_mut(&mut run);
            call(self.storage.as_raw(), "transactionSync", &[closure.as_js_value().clone()])
        };
        match (failed, done) {
            (Some(error), _) => Err(error),
            (None, Err(error)) => Err(failure(&error)),
            (None, Ok(_)) => Ok(()),
        }
    }
}

fn bound(cell: &Cell) -> JsValue {
    match cell {
        Cell::Null => JsValue::NULL,
        // Ours stay below 2^53, but for the largest number there is, which means "no limit".
        #[expect(clippy::cast_precision_loss, reason = "see above")]
        Cell::Integer(number) => JsValue::from(*number as f64),
        Cell::Text(text) => JsValue::from(text.as_str()),
    }
}

fn rows(cursor: &Iterator) -> Result<Vec<Vec<Cell>>, StorageError> {
    let mut rows = Vec::new();
    loop {
        let next = cursor.next().map_err(|error| failure(&error))?;
        if next.done() {
            return Ok(rows);
        }
        let row: Result<Vec<Cell>, _> =
            Array::from(&next.value()).iter().map(|it| read(&it)).collect();
        rows.push(row?);
    }
}

fn read(value: &JsValue) -> Result<Cell, StorageError> {
    match (value.as_f64(), value.as_string()) {
        #[expect(clippy::cast_possible_truncation, reason = "SQLite has whole numbers here")]
        (Some(number), _) => Ok(Cell::Integer(number as i64)),
        (None, Some(text)) => Ok(Cell::Text(text)),
        (None, None) if value.is_null() => Ok(Cell::Null),
        (None, None) => Err(StorageError::Unreadable("neither a number nor a text".to_owned())),
    }
}

fn failure(error: &JsValue) -> StorageError {
    let why = message(error);
    if FULL.iter().any(|mark| why.contains(mark)) {
        StorageError::Full(why)
    } else {
        StorageError::Unavailable(why)
    }
}
