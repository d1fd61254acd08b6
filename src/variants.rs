//! A macro for enums with a struct and a constructor for each variant.

/// Defines an enum. A variant with fields contains a struct of the same name. The struct is
/// `#[non_exhaustive]`, so that adding a field is not a breaking change. The name after the colon is
/// that of the constructor.
///
/// ```text
/// /// A frame has arrived.
/// Received: received { transport: TransportId, frame: ProtocolMessage },
/// ```
///
/// defines the variant `Received(Received)`, the struct `Received` and the constructor
/// `received(transport, frame)`, all with the same documentation.
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

/// Defines the struct and the constructor of a variant, if it has fields.
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
