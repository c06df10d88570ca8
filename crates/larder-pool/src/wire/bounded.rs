//! [`Bounds`]: what decoding one payload may take, whatever its bytes say.
//!
//! A codec alone bounds neither how deep a type that holds itself nests, nor how many elements a sequence has whose
//! elements take no bytes, nor what is allocated ahead on the word of a count. So the codec's deserializer is wrapped, and
//! everything that it hands out. It is made for codecs that are told what comes next; those that find out by themselves
//! (`deserialize_any`) would need more.

use std::cell::Cell;
use std::fmt;

use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::limits::{EMPTY_ELEMENTS_MAX, ENCODED_DEPTH_MAX};

/// What may still be taken while one payload is decoded.
///
/// Each element of a sequence and each entry of a map begins with bytes that no other one begins with, unless it takes
/// none. So a sound payload has at most as many as it has bytes, and some that take none on top.
pub(super) struct Bounds {
    /// Elements and entries that may still come.
    elements: Cell<usize>,
    /// Elements and entries for which memory may still be taken ahead.
    ahead: Cell<usize>,
    /// What was passed first. A codec need not keep the text of an error.
    passed: Cell<Option<&'static str>>,
}

impl Bounds {
    /// For a payload of that many bytes.
    pub(super) fn of(payload_bytes: usize) -> Self {
        let elements = payload_bytes.saturating_add(EMPTY_ELEMENTS_MAX);
        Bounds {
            elements: Cell::new(elements),
            ahead: Cell::new(elements),
            passed: Cell::new(None),
        }
    }

    /// `deserializer` within these bounds.
    pub(super) fn around<D>(&self, deserializer: D) -> Bounded<'_, D> {
        let scope = Scope {
            bounds: self,
            depth: ENCODED_DEPTH_MAX,
        };
        Bounded {
            inner: deserializer,
            scope,
        }
    }

    /// Which bound was passed, if one was.
    pub(super) fn passed(&self) -> Option<&'static str> {
        self.passed.get()
    }

    fn pass<E: Error>(&self, what: &'static str) -> E {
        self.passed.set(self.passed.get().or(Some(what)));
        E::custom(what)
    }

    fn take_element<E: Error>(&self) -> Result<(), E> {
        let left = self.elements.get().checked_sub(1);
        self.elements
            .set(left.ok_or_else(|| self.pass("more elements than its bytes can hold"))?);
        Ok(())
    }

    /// As much of a count as memory may be taken for ahead.
    fn reserve(&self, count: usize) -> usize {
        let granted = count.min(self.ahead.get());
        self.ahead.set(self.ahead.get() - granted);
        granted
    }
}

/// The bounds at one level of nesting.
#[derive(Clone, Copy)]
struct Scope<'b> {
    bounds: &'b Bounds,
    /// Levels that may still follow.
    depth: usize,
}

impl<'b> Scope<'b> {
    fn around<I>(self, inner: I) -> Bounded<'b, I> {
        Bounded { inner, scope: self }
    }

    /// The next level.
    fn within<E: Error>(self) -> Result<Self, E> {
        let left = self.depth.checked_sub(1);
        let depth = left.ok_or_else(|| self.bounds.pass("nested deeper than is read"))?;
        Ok(Scope { depth, ..self })
    }

    /// The visitor of the fields of an enum's variant, whose level has been counted with the enum.
    fn by_type<V>(self, visitor: V) -> Level<'b, V> {
        Level {
            visitor,
            scope: self,
            count: Count::ByType,
        }
    }
}

/// A part of a deserializer or of what it calls, within bounds.
pub(super) struct Bounded<'b, I> {
    inner: I,
    scope: Scope<'b>,
}

/// What holds no other values: handed through.
macro_rules! leaves {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, D::Error> {
            self.inner.$method(visitor)
        })*
    };
}

/// What holds other values: a level, whose visitor is told of them within bounds.
macro_rules! levels {
    ($($method:ident($($given:ident: $type:ty),*) $count:expr;)*) => {
        $(fn $method<V: Visitor<'de>>(self, $($given: $type,)* visitor: V) -> Result<V::Value, D::Error> {
            let visitor = Level { visitor, scope: self.scope.within()?, count: $count };
            self.inner.$method($($given,)* visitor)
        })*
    };
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Bounded<'_, D> {
    type Error = D::Error;

    leaves! {
        deserialize_any deserialize_ignored_any deserialize_identifier deserialize_unit
        deserialize_bool deserialize_char deserialize_f32 deserialize_f64
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
    }

    levels! {
        deserialize_option() Count::ByType;
        deserialize_newtype_struct(name: &'static str) Count::ByType;
        deserialize_tuple(len: usize) Count::ByType;
        deserialize_tuple_struct(name: &'static str, len: usize) Count::ByType;
        deserialize_struct(name: &'static str, fields: &'static [&'static str]) Count::ByType;
        deserialize_enum(name: &'static str, variants: &'static [&'static str]) Count::ByType;
        deserialize_seq() Count::ByBytes;
        deserialize_map() Count::ByBytes;
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.inner.deserialize_unit_struct(name, visitor)
    }

    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }
}

/// Who says how many values follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Count {
    /// The type, so that it is what the program wants it to be.
    ByType,
    /// The bytes.
    ByBytes,
}

/// The visitor of what holds other values.
struct Level<'b, V> {
    visitor: V,
    scope: Scope<'b>,
    count: Count,
}

impl<'b, V> Level<'b, V> {
    fn values<A>(self, inner: A, announced: Option<usize>) -> (V, Values<'b, A>) {
        let ahead = match self.count {
            Count::ByType => announced,
            Count::ByBytes => announced.map(|count| self.scope.bounds.reserve(count)),
        };
        let values = Values {
            inner,
            scope: self.scope,
            count: self.count,
            ahead,
        };
        (self.visitor, values)
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for Level<'_, V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.visitor.expecting(f)
    }

    fn visit_none<E: Error>(self) -> Result<V::Value, E> {
        self.visitor.visit_none()
    }

    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_some(self.scope.around(inner))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<V::Value, D::Error> {
        self.visitor.visit_newtype_struct(self.scope.around(inner))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let announced = inner.size_hint();
        let (visitor, values) = self.values(inner, announced);
        visitor.visit_seq(values)
    }

    fn visit_map<A: MapAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        let announced = inner.size_hint();
        let (visitor, values) = self.values(inner, announced);
        visitor.visit_map(values)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, inner: A) -> Result<V::Value, A::Error> {
        self.visitor.visit_enum(self.scope.around(inner))
    }
}

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for Bounded<'_, S> {
    type Value = S::Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<S::Value, D::Error> {
        self.inner.deserialize(self.scope.around(deserializer))
    }
}

/// The elements of a sequence, or the entries of a map.
struct Values<'b, A> {
    inner: A,
    scope: Scope<'b>,
    count: Count,
    ahead: Option<usize>,
}

impl<A> Values<'_, A> {
    fn count<T, E: Error>(&self, value: Option<T>) -> Result<Option<T>, E> {
        if value.is_some() && self.count == Count::ByBytes {
            self.scope.bounds.take_element()?;
        }
        Ok(value)
    }
}

impl<'de, A: SeqAccess<'de>> SeqAccess<'de> for Values<'_, A> {
    type Error = A::Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let element = self.inner.next_element_seed(self.scope.around(seed))?;
        self.count(element)
    }

    fn size_hint(&self) -> Option<usize> {
        self.ahead
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Values<'_, A> {
    type Error = A::Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, A::Error> {
        let key = self.inner.next_key_seed(self.scope.around(seed))?;
        self.count(key)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.next_value_seed(self.scope.around(seed))
    }

    fn size_hint(&self) -> Option<usize> {
        self.ahead
    }
}

impl<'de, 'b, A: EnumAccess<'de>> EnumAccess<'de> for Bounded<'b, A> {
    type Error = A::Error;
    type Variant = Bounded<'b, A::Variant>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant), A::Error> {
        let (value, variant) = self.inner.variant_seed(seed)?;
        Ok((value, self.scope.around(variant)))
    }
}

impl<'de, A: VariantAccess<'de>> VariantAccess<'de> for Bounded<'_, A> {
    type Error = A::Error;

    fn unit_variant(self) -> Result<(), A::Error> {
        self.inner.unit_variant()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, A::Error> {
        self.inner.newtype_variant_seed(self.scope.around(seed))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, A::Error> {
        self.inner.tuple_variant(len, self.scope.by_type(visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, A::Error> {
        self.inner.struct_variant(fields, self.scope.by_type(visitor))
    }
}
