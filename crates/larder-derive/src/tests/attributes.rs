//! Attributes that are refused: unknown, there twice, empty, mistyped.

use expect_test::expect;

use super::refused;

/// Contract: P10 (partial: unknown attributes, those among them that wait)
#[test]
fn unknown_attributes_are_refused_by_name() {
    refused(
        "#[entity(nam = \"user\")] struct User { id: u64 }",
        expect![[r##"
        #[entity(nam = "user")] struct User { id: u64 }
                 ^^^ unknown attribute `nam`: a struct takes `name`, `tags`, `fingerprint`, `crate`
    "##]],
    );
    refused(
        "#[entity(portable)] struct User { id: u64 }",
        expect![[r#"
        #[entity(portable)] struct User { id: u64 }
                 ^^^^^^^^ unknown attribute `portable`: a struct takes `name`, `tags`, `fingerprint`, `crate`
    "#]],
    );
    refused(
        "struct User { #[entity(idd)] id: u64 }",
        expect![[r#"
        struct User { #[entity(idd)] id: u64 }
                               ^^^ unknown attribute `idd`: a field takes `id`, `watermark`, `tag`, `column`, `skip`
    "#]],
    );
    refused(
        "struct User { #[entity(index)] id: u64 }",
        expect![[r#"
        struct User { #[entity(index)] id: u64 }
                               ^^^^^ unknown attribute `index`: a field takes `id`, `watermark`, `tag`, `column`, `skip`
    "#]],
    );
    refused(
        "struct User { #[entity(index(ordered))] id: u64 }",
        expect![[r#"
        struct User { #[entity(index(ordered))] id: u64 }
                               ^^^^^ unknown attribute `index`: a field takes `id`, `watermark`, `tag`, `column`, `skip`
    "#]],
    );
    refused(
        "struct User { #[entity(a::b = 3)] id: u64 }",
        expect![[r#"
            struct User { #[entity(a::b = 3)] id: u64 }
                                   ^^^^ unknown attribute `a::b`: a field takes `id`, `watermark`, `tag`, `column`, `skip`
        "#]],
    );
    refused(
        "#[entity(id)] struct User { id: u64 }",
        expect![[r#"
        #[entity(id)] struct User { id: u64 }
                 ^^ `id` is an attribute of fields
    "#]],
    );
    refused(
        "struct User { #[entity(name = \"x\")] id: u64 }",
        expect![[r#"
        struct User { #[entity(name = "x")] id: u64 }
                               ^^^^ `name` is an attribute of the struct
    "#]],
    );
}

/// Contract: P10 (partial: duplicate attributes, two watermarks)
#[test]
fn each_attribute_stands_once() {
    refused(
        "#[entity(name = \"a\", name = \"b\")] struct User { id: u64 }",
        expect![[r##"
            #[entity(name = "a", name = "b")] struct User { id: u64 }
                                 ^^^^ duplicate attribute `name`
        "##]],
    );
    refused(
        "#[entity(crate = \"a\")] #[entity(tags = \"x\", crate = \"b\")] struct User { id: u64 }",
        expect![[r##"
            #[entity(crate = "a")] #[entity(tags = "x", crate = "b")] struct User { id: u64 }
                                                        ^^^^^ duplicate attribute `crate`
        "##]],
    );
    refused(
        "struct User { #[entity(id, id)] a: u64 }",
        expect![[r#"
        struct User { #[entity(id, id)] a: u64 }
                                   ^^ duplicate attribute `id`
    "#]],
    );
    refused(
        "struct User { id: u64, #[entity(tag = \"a\")] #[entity(tag = \"b\")] a: u64 }",
        expect![[r#"
            struct User { id: u64, #[entity(tag = "a")] #[entity(tag = "b")] a: u64 }
                                                                 ^^^ duplicate attribute `tag`
        "#]],
    );
    refused(
        "struct User {
            id: u64, #[entity(watermark)] at: u64,
            #[entity(watermark)] version: u64,
        }",
        expect![[r#"
                        #[entity(watermark)] version: u64,
                                 ^^^^^^^^^ an entity has one watermark: a tuple if it has several parts
        "#]],
    );
    refused(
        "struct User { #[entity(skip, column = \"a\")] id: u64 }",
        expect![[r#"
            struct User { #[entity(skip, column = "a")] id: u64 }
                                                  ^^^ a field that is skipped has no column
        "#]],
    );
}

/// Contract: P10 (partial: empty attributes)
#[test]
fn an_attribute_says_something() {
    refused(
        "#[entity] struct User { id: u64 }",
        expect![[r#"
        #[entity] struct User { id: u64 }
          ^^^^^^ empty attribute: write `entity(…)`
    "#]],
    );
    refused(
        "#[entity()] struct User { id: u64 }",
        expect![[r#"
        #[entity()] struct User { id: u64 }
          ^^^^^^^^ empty attribute: write `entity(…)`
    "#]],
    );
    refused(
        "struct User { #[entity()] id: u64 }",
        expect![[r#"
        struct User { #[entity()] id: u64 }
                        ^^^^^^^^ empty attribute: write `entity(…)`
    "#]],
    );
    refused(
        "#[entity(name = \"\")] struct User { id: u64 }",
        expect![[r##"
        #[entity(name = "")] struct User { id: u64 }
                        ^^ a name is not empty
    "##]],
    );
    refused(
        "#[entity(tags = \"\", crate = \"\")] struct User { id: u64 }",
        expect![[r##"
            #[entity(tags = "", crate = "")] struct User { id: u64 }
                            ^^ a path is not empty
            #[entity(tags = "", crate = "")] struct User { id: u64 }
                                        ^^ a path is not empty
        "##]],
    );
    refused(
        "struct User { id: u64, #[entity(tag = \"\", column = \"\")] team: u64 }",
        expect![[r#"
            struct User { id: u64, #[entity(tag = "", column = "")] team: u64 }
                                                  ^^ the label of a tag is not empty
            struct User { id: u64, #[entity(tag = "", column = "")] team: u64 }
                                                               ^^ a column is not empty
        "#]],
    );
}

/// Contract: P10 (partial: mistyped text and paths)
#[test]
fn an_attribute_takes_text_where_it_takes_text() {
    refused(
        "#[entity = \"user\"] struct User { id: u64 }",
        expect![[r##"
        #[entity = "user"] struct User { id: u64 }
          ^^^^^^^^^^^^^^^ mistyped attribute: write `entity(…)`
    "##]],
    );
    refused(
        "#[entity(name)] struct User { id: u64 }",
        expect![[r##"
        #[entity(name)] struct User { id: u64 }
                 ^^^^ `name` takes text: `name = "…"`
    "##]],
    );
    refused(
        "#[entity(name = 5)] struct User { id: u64 }",
        expect![[r##"
        #[entity(name = 5)] struct User { id: u64 }
                        ^ `name` takes text: `name = "…"`
    "##]],
    );
    refused(
        "#[entity(name(\"user\"))] struct User { id: u64 }",
        expect![[r##"
        #[entity(name("user"))] struct User { id: u64 }
                 ^^^^^^^^^^^^ `name` takes text: `name = "…"`
    "##]],
    );
    refused(
        "#[entity(\"user\")] struct User { id: u64 }",
        expect![[r##"
        #[entity("user")] struct User { id: u64 }
                 ^^^^^^ expected identifier
    "##]],
    );
    refused(
        "#[entity(tags = tags_of)] struct User { id: u64 }",
        expect![[r##"
        #[entity(tags = tags_of)] struct User { id: u64 }
                        ^^^^^^^ `tags` takes a path as text: `tags = "…"`
    "##]],
    );
    refused(
        "#[entity(tags = \"not a path\")] struct User { id: u64 }",
        expect![[r##"
            #[entity(tags = "not a path")] struct User { id: u64 }
                            ^^^^^^^^^^^^ `not a path` is no path
        "##]],
    );
    refused(
        "#[entity(crate = 7)] struct User { id: u64 }",
        expect![[r##"
        #[entity(crate = 7)] struct User { id: u64 }
                         ^ `crate` takes a path as text: `crate = "…"`
    "##]],
    );
}

/// Contract: P10 (partial: mistyped numbers, words with values, text that is none)
#[test]
fn an_attribute_of_another_type_is_refused() {
    refused(
        "#[entity(fingerprint = \"7\")] struct User { id: u64 }",
        expect![[r##"
            #[entity(fingerprint = "7")] struct User { id: u64 }
                                   ^^^ `fingerprint` takes a number below 2^64: `fingerprint = …`
        "##]],
    );
    refused(
        "#[entity(fingerprint = -7)] struct User { id: u64 }",
        expect![[r#"
            #[entity(fingerprint = -7)] struct User { id: u64 }
                                   ^^ a fingerprint is a number below 2^64
        "#]],
    );
    refused(
        "#[entity(fingerprint = 18446744073709551616)] struct User { id: u64 }",
        expect![[r#"
            #[entity(fingerprint = 18446744073709551616)] struct User { id: u64 }
                                   ^^^^^^^^^^^^^^^^^^^^ a fingerprint is a number below 2^64
        "#]],
    );
    refused(
        "#[entity(fingerprint = 7u8)] struct User { id: u64 }",
        expect![[r#"
            #[entity(fingerprint = 7u8)] struct User { id: u64 }
                                   ^^^ a fingerprint is a number below 2^64
        "#]],
    );
    refused(
        "struct User { #[entity(id = true)] number: u64 }",
        expect![[r#"
            struct User { #[entity(id = true)] number: u64 }
                                   ^^^^^^^^^ `id` takes no value
        "#]],
    );
    refused(
        "struct User { id: u64, #[entity(watermark(desc))] version: u64 }",
        expect![[r#"
            struct User { id: u64, #[entity(watermark(desc))] version: u64 }
                                            ^^^^^^^^^^^^^^^ `watermark` takes no value
        "#]],
    );
    refused(
        "struct User { id: u64, #[entity(tag)] team: u64 }",
        expect![[r#"
        struct User { id: u64, #[entity(tag)] team: u64 }
                                        ^^^ `tag` takes text: `tag = "…"`
    "#]],
    );
    refused(
        "struct User { id: u64, #[entity(column = b\"mail\")] email: u64 }",
        expect![[r#"
            struct User { id: u64, #[entity(column = b"mail")] email: u64 }
                                                     ^^^^^^^ `column` takes text: `column = "…"`
        "#]],
    );
}
