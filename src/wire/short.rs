//! Short strings, made quickly.

use crate::SmolStr;

/// Makes a string and hands it to `put`, which should put it where it will stay.
///
/// The same as `put(SmolStr::new(text))`. But that copies a length that is known at run time only
/// into a buffer that is then moved in pieces of other sizes, and the processor waits for each:
/// three times the cost, on what a decoder does most. Here each short length has a copy of its
/// own.
#[inline(always)]
pub(super) fn make(text: &str, store: impl FnOnce(SmolStr)) {
    macro_rules! by_length {
        ($($len:literal)*) => {
            match text.len() {
                $($len => if let Some(text) = text.get(..$len) {
                    return store(SmolStr::new_inline(text));
                },)*
                _ => {}
            }
        };
    }
    by_length!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23);
    store(SmolStr::new(text));
}
