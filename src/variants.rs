//! Enums whose variants hold named structs, written once.

/// Defines an enum. A variant with fields holds a struct of the same name, to which a field can be
/// added without breaking anybody: the struct is `#[non_exhaustive]`, and is made by the constructor
/// that stands behind the colon.
///
/// ```text
/// /// A frame came in.
/// Received: received { transport: TransportId, frame: ProtocolMessage },
/// ```
///
/// is the variant `Received(Received)`, the struct `Received` and the constructor
/// `received(transport, frame)`, all three with the same documentation.
macro_rules! variants {
    (
        $(#[$meta:meta])*
        pub enum $enum:ident {
            $(
                $(#[$doc:meta])*
                $variant:ident
                $(: $make:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty ),+ $(,)? })?
                $(= $inner:ty)?
            ),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub enum $enum {
            $( $(#[$doc])* $variant $( ($crate::variants::payload!($variant $make)) )? $( ($inner) )? ),+
        }

        $($crate::variants::payload! {
            $enum $(#[$doc])* $variant
            $( $make { $( $(#[$field_doc])* $field: $type ),+ } )?
        })+
    };
}

/// The struct of a variant, if it has one.
macro_rules! payload {
    ($variant:ident $make:ident) => { $variant };
    ($enum:ident $(#[$doc:meta])* $variant:ident) => {};
    (
        $enum:ident $(#[$doc:meta])* $variant:ident
        $make:ident { $( $(#[$field_doc:meta])* $field:ident: $type:ty ),+ }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        #[non_exhaustive]
        pub struct $variant {
            $( $(#[$field_doc])* pub $field: $type ),+
        }

        impl $enum {
            $(#[$doc])*
            #[must_use]
            #[inline]
            pub fn $make($( $field: impl Into<$type> ),+) -> Self {
                Self::$variant($variant { $( $field: $field.into() ),+ })
            }
        }
    };
}

pub(crate) use {payload, variants};
