//! The attribute `#[distributed_lock]`. Use it through dlock-core's feature `macros`.

mod args;
mod duration;
mod errors;
mod expand;
mod function;
mod place;
mod similar;
mod template;
mod value;
mod work;

use proc_macro::TokenStream;

/// Runs an async function under a distributed lock. The lock is acquired before the body and released after
/// it; if it is not acquired, or lost meanwhile, the function returns the error instead.
///
/// ```
/// use dlock_core::{LockError, LockManager, distributed_lock};
///
/// struct Order {
///     tenant: String,
///     id: u64,
/// }
///
/// struct Shop {
///     locks: LockManager,
/// }
///
/// impl Shop {
///     #[distributed_lock("order:{order.tenant}:{order.id}", ttl = "30s", wait = "2s", locks = self.locks, guard = lock)]
///     async fn settle(&self, order: &Order) -> Result<String, LockError> {
///         assert!(lock.token().as_u64() > 0); // for the store, which refuses smaller ones
///         Ok(lock.key().to_string())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), LockError> {
/// let shop = Shop { locks: LockManager::connect("memory:").await? };
/// let order = Order { tenant: "a:b".to_owned(), id: 42 };
/// assert_eq!(shop.settle(&order).await?, "order:a%3Ab:42");
/// # Ok(()) }
/// ```
///
/// # The key
///
/// A string with placeholders for parameters of the function, their fields, tuple members and methods without
/// arguments: `{id}`, `{order.id}`, `{pair.0}`, `{order.id()}`. Braces are doubled: `{{`, `}}`. A value is
/// written with `Display`; `%`, `:`, `/`, `{`, `}`, white space and control characters in it are escaped, and
/// between two placeholders a `:` or `/` must stand: so different values never give one key. An empty value is
/// an error ([`ErrorKind::InvalidKey`]).
///
/// The function's name is no part of the key: two functions with one key exclude each other, and renaming a
/// function changes no lock.
///
/// # Options
///
/// | option | value | default | meaning |
/// |---|---|---|---|
/// | `ttl` | `"30s"`, or an expression of type `Duration` | the manager's, 30 s | the length of the lease, renewed while the body runs |
/// | `wait` | `"2s"`, or an expression; `"0s"` tries once | the manager's, 60 s | how long to wait for the lock's turn |
/// | `locks` | an expression that is `AsRef<LockManager>` | [`LockManager::installed`] | where the lock comes from; evaluated before the body |
/// | `guard` | a name | – | a `&LockGuard` in the body, for its token |
/// | `crate` | a path | `::dlock_core` | where dlock-core is, if renamed |
///
/// Units are `ms`, `s`, `m` and `h`.
///
/// # The return type
///
/// `Result<T, E>`, or an alias of it, with `E: From<LockError>`. `impl Trait` may stand in it. It is kept while
/// the lock is released, so the future is `Send` only if `T` and `E` are: `Box<dyn Error + Send + Sync>` rather
/// than `Box<dyn Error>`.
///
/// # What it expands to
///
/// ```text
/// async fn settle(&self, order: &Order) -> Result<String, LockError> {
///     let key = KeyTemplate::new().literal("order:").value(&order.tenant).literal(":").value(&order.id).finish();
///     let guard = match manager(&self.locks).lock(key?).ttl(…).wait(…).acquire().await {
///         Ok(guard) => guard,
///         Err(error) => return Err(error.into()),
///     };
///     let output = {
///         let lock = &guard;
///         guard.run(async move { /* the body, with the parameters */ }).await
///     };
///     match output {
///         Ok(output) => { release(guard).await; output }
///         Err(lost) => Err(lost.into()),
///     }
/// }
/// ```
///
/// The parameters end with the body, before the release; what a pattern leaves unnamed (`_`, `..`) ends after it.
/// A release that fails is logged and never replaces the result; the lease ends the lock then.
///
/// Methods of `async_trait` can be locked as well, with the attribute on the method of the `impl`; parameters that
/// are patterns have no names for the key there.
///
/// # Order of attributes
///
/// The topmost attribute is the innermost wrapper. Put this one on top, above `#[instrument]` or axum's
/// `#[debug_handler]`. A *transaction* attribute must stand above it, or the lock is released before the commit.
///
/// # Cancellation
///
/// Dropping the future while it waits leaves the queue; while the body runs, it drops the body and releases the
/// lock in the background. A panic in the body releases it, too. If the lock is lost, the body is dropped at its
/// next await and the function returns [`ErrorKind::Lost`].
///
/// # What is not protected
///
/// The lock is a lease. A program can be stopped for longer than its lease without knowing; if two writers
/// would corrupt data, pass the guard's token to a store that refuses smaller ones. What the body spawns runs on
/// without the lock.
///
/// # Recursion
///
/// A function that calls itself with the same key waits for itself, until `wait` is over and the inner call
/// returns [`ErrorKind::Busy`].
///
/// # By hand
///
/// [`LockManager::run`] does the same for a future, [`LockManager::lock`] gives the guard.
///
/// [`ErrorKind::InvalidKey`]: https://docs.rs/dlock-core/latest/dlock_core/enum.ErrorKind.html
/// [`ErrorKind::Lost`]: https://docs.rs/dlock-core/latest/dlock_core/enum.ErrorKind.html
/// [`ErrorKind::Busy`]: https://docs.rs/dlock-core/latest/dlock_core/enum.ErrorKind.html
/// [`LockManager::installed`]: https://docs.rs/dlock-core/latest/dlock_core/struct.LockManager.html
/// [`LockManager::run`]: https://docs.rs/dlock-core/latest/dlock_core/struct.LockManager.html
/// [`LockManager::lock`]: https://docs.rs/dlock-core/latest/dlock_core/struct.LockManager.html
#[proc_macro_attribute]
pub fn distributed_lock(args: TokenStream, item: TokenStream) -> TokenStream {
    expand::attribute(args.into(), &item.into()).into()
}
