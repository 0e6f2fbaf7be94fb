//! Closed sets of words, as the cloud's API spells them.

/// An enumeration that users write as a word, in any case.
pub(crate) trait Choice: Copy + 'static {
    /// Every value and its spelling; further spellings of a value come after its own.
    const ALL: &'static [(&'static str, Self)];
}

/// Defines an enumeration whose JSON form, `Display` and accepted words are one table.
macro_rules! choice {
    (
        $(#[$meta:meta])* $vis:vis enum $name:ident {
            $($(#[doc = $doc:literal])+ $variant:ident = $word:literal $(| $also:literal)*,)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        $vis enum $name {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl $crate::topology::Choice for $name {
            const ALL: &'static [(&'static str, Self)] =
                &[$(($word, $name::$variant), $(($also, $name::$variant),)*)+];
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self {
                    $($name::$variant => $word,)+
                })
            }
        }
    };
}

pub(super) use choice;
