//! Tags: what a label and a value give, how many there may be, and that none is lost in silence.

use larder_pool::{Entity, EntityId, TAGS_MAX, Tag, TagSet, TagValue, TagsError, TargetError};

fn texts(tags: &TagSet) -> Vec<&str> {
    tags.iter().map(Tag::as_str).collect()
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EntityId)]
struct Team {
    country: String,
    number: u8,
}

enum State {
    Draft,
    Sent,
}

impl TagValue for State {
    type Value = str;

    fn tag_value(&self) -> Option<&str> {
        match self {
            Self::Draft => None,
            Self::Sent => Some("sent"),
        }
    }
}

#[derive(Entity)]
#[entity(tags = "more")]
struct Message {
    id: u64,
    #[entity(tag = "team")]
    team: Team,
    #[entity(tag = "reply")]
    reply_to: Option<u64>,
    #[entity(tag = "state")]
    state: State,
    #[entity(tag = "urgent", skip)]
    urgent: bool,
}

fn more(message: &Message, out: &mut TagSet) {
    if message.urgent {
        out.insert("page");
    }
}

fn message(reply_to: Option<u64>, state: State, urgent: bool) -> Message {
    let team = Team {
        country: "a/b".to_owned(),
        number: 7,
    };
    Message {
        id: 1,
        team,
        reply_to,
        state,
        urgent,
    }
}

/// The value is written as ids are, so that a trigger writes the same; an absent one gives no tag (O97).
///
/// Contract: P9 (partial: `tag` and `tags`)
#[test]
fn a_field_gives_its_label_and_its_value() {
    let mut tags = TagSet::new();
    message(Some(42), State::Sent, true).tags(&mut tags);
    let all = ["team:a%2Fb/7", "reply:42", "state:sent", "urgent:true", "page"];
    assert_eq!(texts(&tags), all);
    let mut tags = TagSet::new();
    message(None, State::Draft, false).tags(&mut tags);
    assert_eq!(texts(&tags), ["team:a%2Fb/7", "urgent:false"]);
}

/// Contract: P9 (partial: no tags by default)
#[test]
fn an_entity_has_no_tags_unless_it_says_so() {
    #[derive(Entity)]
    struct Silent {
        id: u64,
    }
    let mut tags = TagSet::new();
    Silent { id: 1 }.tags(&mut tags);
    assert!(tags.is_empty());
    assert_eq!(tags.into_targets(), Ok(Vec::new()));
}

#[test]
fn a_set_holds_64_tags_each_once() {
    let mut tags = TagSet::new();
    for number in 0..TAGS_MAX {
        tags.insert(format!("t{number}"));
        tags.insert_value("n", &number);
        tags.insert(format!("t{number}"));
        if tags.len() == 64 {
            break;
        }
    }
    assert_eq!((TAGS_MAX, tags.len()), (64, 64));
    assert_eq!(texts(&tags)[..3], ["t0", "n:0", "t1"]);
    // One that is there already is none too many.
    tags.insert("t0");
    assert_eq!(tags.clone().into_targets().map(|tags| tags.len()), Ok(64));
    tags.insert("beyond");
    assert_eq!(tags.len(), 64);
    assert!(!tags.contains("beyond"));
    assert_eq!(tags.into_targets(), Err(TagsError::TooMany { max: 64 }));
}

/// A value whose tags are not all known could not be invalidated by them: the first refusal stays.
#[test]
fn a_tag_that_is_refused_is_not_forgotten() {
    let refused = |insert: fn(&mut TagSet)| {
        let mut tags = TagSet::new();
        tags.insert("before");
        insert(&mut tags);
        tags.insert("after");
        tags.insert("\n");
        assert_eq!(texts(&tags), ["before", "after"]);
        tags.into_targets().unwrap_err()
    };
    let long = |bytes| {
        TagsError::Tag(TargetError::TooLong {
            part: "tag",
            bytes,
            max: 512,
        })
    };
    assert_eq!(
        refused(|tags| tags.insert("")),
        TargetError::Empty { part: "tag" }.into()
    );
    assert_eq!(refused(|tags| tags.insert("x".repeat(513))), long(513));
    assert_eq!(
        refused(|tags| tags.insert_value("team", &"x".repeat(508))),
        long(513)
    );
    let control = TargetError::Control { part: "tag" };
    assert_eq!(refused(|tags| tags.insert_value("team", &'\0')), control.into());
    let not_utf8 = TargetError::NotUtf8 { part: "tag" };
    assert_eq!(
        refused(|tags| tags.insert_value("team", &[0xFF])),
        not_utf8.into()
    );
    assert_eq!(long(513).to_string(), "a tag is refused");
    assert_eq!(
        TagsError::TooMany { max: 64 }.to_string(),
        "an entity has at most 64 tags"
    );
}
