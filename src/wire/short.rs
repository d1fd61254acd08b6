//! Fast construction of short strings.

use crate::SmolStr;

/// Makes a string and passes it to `store`, which should write it to its final place.
///
/// Equivalent to `store(SmolStr::new(text))`, which is three times slower on this hottest path of the
/// decoder: it copies a variable length into a buffer, then moves the buffer in pieces of other sizes,
/// and each move stalls on store forwarding. Here each short length is a constant.
#[inline(always)]
pub(crate) fn make(text: &str, store: impl FnOnce(SmolStr)) {
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
