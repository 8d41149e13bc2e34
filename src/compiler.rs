//! Compiles the schemas of clients, which may be hostile: off the runtime's threads, few at a time, within a time, and
//! each of those that come again only once.
//!
//! `schema` counts work before it does any, so that a compilation stays within milliseconds; what is here holds where
//! that should fail. One that takes too long is given up, not ended: its place is free again once it is done.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock;
use crate::metrics;
use crate::recent::Recent;
use crate::schema::{Schema, SchemaError, SchemaLimits, Wrap};

/// What a refusal is counted as in the cache, beside its texts, bytes.
const REFUSAL_BYTES: usize = 128;

/// Bounds on compiling.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CompilerOptions {
    /// Bounds on a schema.
    pub limits: SchemaLimits,
    /// How long a submitted schema may compile, ms. By the wall clock, so that there is room for a machine without a core
    /// left: what `limits` lets through compiles within milliseconds. Default: 2,000.
    pub schema_wall_ms: u64,
    /// How long a submitted schema may wait for its turn, ms. Default: 1,000.
    pub schema_wait_ms: u64,
    /// Schemas that compile at a time. Default: 2.
    pub compiles_max: usize,
    /// Compiled schemas that are kept for the next job. Default: 512.
    pub cache_count_max: usize,
    /// Bytes that they hold together, estimated from above ([`Schema::held_bytes`]). Default: 64 MiB.
    pub cache_bytes_max: usize,
    /// Refusals that are kept, so that a bad schema costs once. Default: 1,024.
    pub refused_count_max: usize,
    /// Bytes of those refusals together. Default: 512 KiB.
    pub refused_bytes_max: usize,
}

impl Default for CompilerOptions {
    fn default() -> Self {
        Self {
            limits: SchemaLimits::default(),
            schema_wall_ms: 2_000,
            schema_wait_ms: 1_000,
            compiles_max: 2,
            cache_count_max: 512,
            cache_bytes_max: 64 * 1024 * 1024,
            refused_count_max: 1_024,
            refused_bytes_max: 512 * 1024,
        }
    }
}

/// Why there is no compiled schema.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CompileError {
    /// It is none, or over a bound.
    #[error(transparent)]
    Refused(#[from] SchemaError),
    /// It took longer than a submitted schema may.
    #[error("compiling it takes more than {0} ms: use fewer subschemas, patterns and references")]
    TooLong(u64),
    /// Others had all the turns.
    #[error("other schemas are being compiled, for more than {0} ms now: come again later")]
    Busy(u64),
    /// Our fault.
    #[error("the schema could not be read")]
    Lost,
}

/// A schema's text and wrapper, by their hash.
type Key = [u8; 32];

/// The cache, and who may compile.
#[derive(Debug)]
pub struct Compiler {
    options: CompilerOptions,
    turns: Arc<Semaphore>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Debug)]
struct Cache {
    compiled: Recent<Key, Arc<Schema>>,
    refused: Recent<Key, SchemaError>,
}

impl Cache {
    fn get(&mut self, key: &Key) -> Option<Result<Arc<Schema>, SchemaError>> {
        if let Some(schema) = self.compiled.get(key) {
            return Some(Ok(Arc::clone(schema)));
        }
        self.refused.get(key).map(|refusal| Err(refusal.clone()))
    }

    fn keep(&mut self, key: Key, text_bytes: usize, result: &Result<Arc<Schema>, SchemaError>) {
        match result {
            Ok(schema) => self
                .compiled
                .insert(key, Arc::clone(schema), schema.held_bytes(text_bytes)),
            Err(refusal) => {
                let bytes = REFUSAL_BYTES + refusal.path.len() + refusal.message.len();
                self.refused.insert(key, refusal.clone(), bytes);
            }
        }
    }
}

/// A panic while the cache was changed cannot have left half an entry.
fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for Compiler {
    fn default() -> Self {
        Self::new(CompilerOptions::default())
    }
}

impl Compiler {
    /// A compiler with nothing in its cache.
    pub fn new(options: CompilerOptions) -> Self {
        let cache = Cache {
            compiled: Recent::new(options.cache_count_max, options.cache_bytes_max),
            refused: Recent::new(options.refused_count_max, options.refused_bytes_max),
        };
        Self {
            turns: Arc::new(Semaphore::new(options.compiles_max.max(1))),
            cache: Arc::new(Mutex::new(cache)),
            options,
        }
    }

    /// The schema of a job that is submitted, within the limits of time.
    ///
    /// # Errors
    /// It is refused, takes too long, or could not be begun in time.
    pub async fn admit(&self, schema: &Json, wrap: Option<Wrap>) -> Result<Arc<Schema>, CompileError> {
        let (key, bytes) = measure(schema, wrap);
        if let Some(known) = lock(&self.cache).get(&key) {
            return Ok(known?);
        }
        let wait_ms = self.options.schema_wait_ms;
        let turn = tokio::select! {
            turn = self.turn() => turn?,
            () = clock::sleep(Duration::from_millis(wait_ms)) => return Err(CompileError::Busy(wait_ms)),
        };
        let wall_ms = self.options.schema_wall_ms;
        tokio::select! {
            compiled = self.run(key, bytes, schema, wrap, turn) => compiled,
            () = clock::sleep(Duration::from_millis(wall_ms)) => Err(CompileError::TooLong(wall_ms)),
        }
    }

    /// The schema of a job that was accepted: however long it takes.
    ///
    /// # Errors
    /// It is refused: the limits have changed since.
    pub async fn compile(&self, schema: &Json, wrap: Option<Wrap>) -> Result<Arc<Schema>, CompileError> {
        let (key, bytes) = measure(schema, wrap);
        if let Some(known) = lock(&self.cache).get(&key) {
            return Ok(known?);
        }
        let turn = self.turn().await?;
        self.run(key, bytes, schema, wrap, turn).await
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, CompileError> {
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        turn.map_err(|_| CompileError::Lost)
    }

    async fn run(
        &self,
        key: Key,
        bytes: usize,
        schema: &Json,
        wrap: Option<Wrap>,
        turn: OwnedSemaphorePermit,
    ) -> Result<Arc<Schema>, CompileError> {
        // Another one may have compiled the same while this one waited.
        if let Some(known) = lock(&self.cache).get(&key) {
            return Ok(known?);
        }
        let (schema, limits) = (schema.clone(), self.options.limits.clone());
        let cache = Arc::clone(&self.cache);
        let compile = move || {
            let began = clock::now();
            let compiled = Schema::compile_wrapped(&schema, wrap, &limits).map(Arc::new);
            metrics::all().schema_compile_seconds.took(clock::now() - began);
            lock(&cache).keep(key, bytes, &compiled);
            drop(turn);
            compiled
        };
        let compiled = tokio::task::spawn_blocking(compile).await;
        Ok(compiled.map_err(|_| CompileError::Lost)??)
    }
}

/// The hash of a schema's compact text and its wrapper, and the bytes of the text.
fn measure(schema: &Json, wrap: Option<Wrap>) -> (Key, usize) {
    let mut hash = Hash {
        digest: Sha256::new(),
        bytes: 0,
    };
    // Plain JSON can be written, and a hash takes all.
    let _ = serde_json::to_writer(&mut hash, schema);
    let wrap = match wrap {
        None => 0,
        Some(Wrap::Iterable) => 1,
        Some(Wrap::Maybe) => 2,
    };
    hash.digest.update([wrap]);
    (hash.digest.finalize().into(), hash.bytes)
}

struct Hash {
    digest: Sha256,
    bytes: usize,
}

impl io::Write for Hash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.digest.update(bytes);
        self.bytes += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_schema_is_compiled_once_and_a_bad_one_refused_once() {
        let compiler = Compiler::default();
        let schema = json!({"type": "object", "properties": {"a": {"type": "string"}}});
        let first = compiler.admit(&schema, None).await.unwrap();
        assert!(Arc::ptr_eq(&first, &compiler.admit(&schema, None).await.unwrap()));
        assert!(Arc::ptr_eq(
            &first,
            &compiler.compile(&schema, None).await.unwrap()
        ));
        let wrapped = compiler.admit(&schema, Some(Wrap::Iterable)).await.unwrap();
        assert!(!Arc::ptr_eq(&first, &wrapped), "another wrapper, another schema");
        let bad = json!({"type": "strin"});
        let refused = compiler.admit(&bad, None).await.unwrap_err();
        assert_eq!(compiler.admit(&bad, None).await.unwrap_err(), refused);
        let cache = lock(&compiler.cache);
        assert_eq!((cache.compiled.len(), cache.refused.len()), (2, 1));
    }

    #[tokio::test]
    async fn the_caches_keep_to_their_bounds() {
        let options = CompilerOptions {
            cache_count_max: 8,
            cache_bytes_max: 160_000,
            refused_count_max: 4,
            refused_bytes_max: 4_000,
            ..CompilerOptions::default()
        };
        let compiler = Compiler::new(options);
        for number in 0..50 {
            let good = json!({"title": "x".repeat(number)});
            compiler.admit(&good, None).await.unwrap();
            let bad = json!({"type": number});
            compiler.admit(&bad, None).await.unwrap_err();
            let cache = lock(&compiler.cache);
            assert!(cache.compiled.len() <= 8 && cache.compiled.bytes() <= 160_000);
            assert!(cache.refused.len() <= 4 && cache.refused.bytes() <= 4_000);
        }
    }

    fn members(count: usize, with: impl Fn(usize) -> Json) -> Json {
        let members: serde_json::Map<_, _> = (0..count)
            .map(|index| (format!("m{index}"), with(index)))
            .collect();
        json!({ "type": "object", "properties": members })
    }

    #[test]
    fn a_schema_holds_no_more_than_is_estimated() {
        let deep = (1..64).fold(json!({}), |inner, _| json!({ "not": inner }));
        let deep_members = (1..32).fold(
            json!({}),
            |inner, _| json!({ "properties": { "inner member": inner } }),
        );
        let schemas = [
            json!({}),
            members(4, |_| json!({"type": "string"})),
            members(500, |_| json!({"type": "string", "minLength": 1})),
            deep,
            deep_members,
            members(20, |index| json!({"pattern": format!(r"^\w{{1,20}}-{index}$")})),
            json!({"pattern": r"^(\w{1,5}){1,20}$"}),
            json!({"enum": (0..2_000).collect::<Vec<_>>()}),
            json!({"enum": (0..500).map(|index| json!({"kind": index})).collect::<Vec<_>>()}),
            json!({"enum": vec![0; 2_000]}),
            json!({"enum": vec![json!({}); 2_000]}),
            json!({"enum": vec![json!([[]]); 2_000]}),
            json!({"enum": (0..500).map(|index| json!({"": index})).collect::<Vec<_>>()}),
            json!({"description": "x".repeat(10_000)}),
        ];
        // What is built once for all schemas belongs to none of them.
        drop(
            Schema::compile(&members(1, |_| json!({"pattern": "a"})), &SchemaLimits::default())
                .unwrap()
                .closing(),
        );
        for schema in schemas {
            let text = schema.to_string();
            let mut estimate = 0;
            let held = allocation_counter::measure(|| {
                let compiled = Schema::compile(&schema, &SchemaLimits::default()).unwrap();
                let _ = compiled.closing();
                estimate = compiled.held_bytes(text.len());
                std::mem::forget(compiled);
            });
            let held = usize::try_from(held.bytes_current).unwrap();
            let shown: String = text.chars().take(80).collect();
            assert!(held <= estimate, "{held} held, {estimate} estimated: {shown}");
        }
    }

    /// With the clock stopped, time passes only where nothing else can happen.
    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_turn_is_told_that_others_have_it() {
        let compiler = Compiler::new(CompilerOptions {
            compiles_max: 1,
            ..CompilerOptions::default()
        });
        let turn = compiler.turn().await.unwrap();
        let busy = compiler.admit(&json!({}), None).await;
        assert_eq!(busy.unwrap_err(), CompileError::Busy(1_000));
        drop(turn);
        compiler.admit(&json!({}), None).await.unwrap();
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up_and_keeps_its_turn_until_it_is_done() {
        let compiler = Compiler::new(CompilerOptions {
            compiles_max: 1,
            schema_wall_ms: 0,
            ..CompilerOptions::default()
        });
        // Far more than a timer of no time at all takes to fire.
        let members: serde_json::Map<_, _> = (0..600)
            .map(|number| (format!("m{number}"), json!({"type": "string", "minLength": 1})))
            .collect();
        let schema = json!({"properties": members});
        let given_up = compiler.admit(&schema, None).await;
        assert_eq!(given_up.unwrap_err(), CompileError::TooLong(0));
        // The turn comes back with the schema in the cache: the next one finds it there.
        drop(compiler.turn().await.unwrap());
        compiler.admit(&schema, None).await.unwrap();
    }
}
