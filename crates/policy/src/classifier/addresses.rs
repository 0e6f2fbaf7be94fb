use crate::classifier::{Classifier, Located};
use crate::tuple::Tuple;

/// The addresses of a packet: two of one family, or [`Mixed`].
pub(crate) trait Addresses: Copy {
    /// Where they are in the lines of a classifier: the part that waits for memory.
    fn locate(self, classifier: &Classifier) -> Located;

    /// The first rule that matches `tuple`, whose addresses they are, by its index in the input;
    /// `located` is what [`Addresses::locate`] found.
    fn first_match(self, classifier: &Classifier, tuple: &Tuple, located: Located)
    -> Option<usize>;
}

/// Addresses of different families: no packet has them, but a question to `explain` may.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mixed;

impl Addresses for [u32; 2] {
    #[inline]
    fn locate(self, classifier: &Classifier) -> Located {
        classifier.v4.locate(self)
    }

    #[inline]
    fn first_match(
        self,
        classifier: &Classifier,
        tuple: &Tuple,
        located: Located,
    ) -> Option<usize> {
        classifier.first_match(&classifier.v4, tuple, self, located)
    }
}

impl Addresses for [u128; 2] {
    #[inline]
    fn locate(self, classifier: &Classifier) -> Located {
        classifier.v6.locate(self)
    }

    #[inline]
    fn first_match(
        self,
        classifier: &Classifier,
        tuple: &Tuple,
        located: Located,
    ) -> Option<usize> {
        classifier.first_match(&classifier.v6, tuple, self, located)
    }
}

impl Addresses for Mixed {
    fn locate(self, _: &Classifier) -> Located {
        Located::NONE
    }

    fn first_match(self, classifier: &Classifier, tuple: &Tuple, _: Located) -> Option<usize> {
        classifier.sweep(tuple)
    }
}
