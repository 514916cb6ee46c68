//! Enumerations whose values have one name each: the same one in JSON, in tables and on the command line.

/// Defines such an enumeration: every value is followed by its name, and by names of earlier versions that are still read.
///
/// The list of values (`ALL`), the names (`name`), the reader (`parse`) and serde's form all come from this one table, so they
/// cannot disagree.
macro_rules! named {
    (
        $(#[$outer:meta])*
        pub enum $name:ident { $($(#[$inner:meta])* $value:ident = $text:literal $(| $alias:literal)*),+ $(,)? }
    ) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$inner])* #[serde(rename = $text $(, alias = $alias)*)] $value),+
        }

        impl $name {
            /// Every value, in the order of the definition.
            pub const ALL: &'static [Self] = &[$(Self::$value),+];

            /// The name in JSON, in tables and on the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$value => $text),+
                }
            }

            /// The value of this name.
            pub fn parse(name: &str) -> Option<Self> {
                match name {
                    $($text $(| $alias)* => Some(Self::$value),)+
                    _ => None,
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

pub(crate) use named;

#[cfg(test)]
mod tests {
    named! {
        /// A color.
        pub enum Color {
            /// Of blood.
            Red = "red",
            /// Of the deep sea.
            DarkBlue = "dark-blue" | "navy",
        }
    }

    #[test]
    fn one_name_serves_everywhere() {
        for color in Color::ALL {
            assert_eq!(Color::parse(color.name()), Some(*color));
            assert_eq!(serde_json::to_string(color).unwrap(), format!("\"{color}\""));
            assert_eq!(serde_json::from_str::<Color>(&format!("\"{}\"", color.name())).unwrap(), *color);
        }
        assert_eq!((Color::parse("blue"), Color::parse("navy")), (None, Some(Color::DarkBlue)));
        assert_eq!(serde_json::from_str::<Color>("\"navy\"").unwrap(), Color::DarkBlue);
        assert_eq!(format!("{:>10}|", Color::DarkBlue), " dark-blue|");
    }
}
