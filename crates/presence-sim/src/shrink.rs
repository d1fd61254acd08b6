//! Removing what a failure does not need.

/// Removes items as long as the rest still fails: first halves, at last single items. Removing any
/// further item makes the result pass. `fails` must be deterministic and hold for `items`.
#[must_use]
pub fn shrink<T: Clone>(mut items: Vec<T>, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut chunk = items.len().div_ceil(2).max(1);
    loop {
        let mut from = 0;
        let mut removed = false;
        while from < items.len() {
            let mut fewer = items.clone();
            fewer.drain(from..(from + chunk).min(items.len()));
            if fails(&fewer) {
                items = fewer;
                removed = true;
            } else {
                from += chunk;
            }
        }
        if chunk == 1 && !removed {
            return items;
        }
        chunk = chunk.div_ceil(2);
    }
}
