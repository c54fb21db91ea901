//! What is done when a scope is left, by a failed assertion, too.

/// Calls what it holds when it is dropped.
///
/// A thread of [`std::thread::scope`] that goes on until it is told to end would go on forever
/// after an assertion failed beside it: the scope waits for its threads before it fails.
pub struct AtEnd<F: FnMut()>(pub F);

impl<F: FnMut()> Drop for AtEnd<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
