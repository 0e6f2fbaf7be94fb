//! Where something stands: in the text, and in the document.

use std::borrow::Cow;
use std::fmt;
use std::rc::Rc;

/// A place in the text: one-based, counted in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    pub(crate) line: u32,
    pub(crate) column: u32,
    /// Characters on that line; zero means up to its end.
    pub(crate) width: u32,
}

/// A path in the document, like `guests.web-1.nics[0].subnet`; cheap to clone and to extend.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path(Option<Rc<Step>>);

#[derive(Debug)]
struct Step {
    parent: Path,
    segment: Segment,
}

#[derive(Debug)]
enum Segment {
    Key(Cow<'static, str>),
    Index(usize),
}

impl Path {
    pub(crate) fn key(&self, key: &str) -> Path {
        self.step(Segment::Key(Cow::Owned(key.to_owned())))
    }

    /// As [`Path::key`], for a key that documents have by their form.
    pub(crate) fn field(&self, key: &'static str) -> Path {
        self.step(Segment::Key(Cow::Borrowed(key)))
    }

    pub(crate) fn index(&self, index: usize) -> Path {
        self.step(Segment::Index(index))
    }

    fn step(&self, segment: Segment) -> Path {
        Path(Some(Rc::new(Step {
            parent: self.clone(),
            segment,
        })))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(step) = &self.0 else { return Ok(()) };
        step.parent.fmt(f)?;
        match &step.segment {
            Segment::Key(key) if step.parent.0.is_none() => f.write_str(key),
            Segment::Key(key) => write!(f, ".{key}"),
            Segment::Index(index) => write!(f, "[{index}]"),
        }
    }
}

/// Both places of one thing.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) span: Span,
    pub(crate) path: Path,
}

/// A value and where it was written.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}
