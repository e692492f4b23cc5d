//! A stream as a naive model, and random changes of it. Groups and consumers are named by one
//! digit, which is their number, too.

use std::collections::BTreeMap;

use firn::format::edit::Edit;
use firn::value::item::Item;
use firn::value::members::MemberHasher;
use firn::value::stream::Stream;
use firn::value::stream_chunk::{Entry, NewEntry, Numbers, Texts};
use firn::value::stream_fact::{
    Added, ConsumerState, Delivery, Fact, GroupState, Holder, Idempotence, Topic,
};
use firn::value::stream_id::StreamId;

use super::content::{Below, items_of};

const NAMES: [&[u8]; 3] = [b"0", b"1", b"2"];

/// A stream.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct StreamContent {
    entries: BTreeMap<StreamId, Vec<Vec<u8>>>,
    numbers: Numbers,
    /// Members and payloads of facts; each follows those it depends on.
    facts: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl StreamContent {
    /// One of these numbers, still without items.
    pub fn of(stream: &Stream) -> StreamContent {
        StreamContent { numbers: *stream.numbers(), ..StreamContent::default() }
    }

    /// Takes in an entry that a stream shows.
    pub fn note_entry(&mut self, entry: &Entry<'_>) {
        let texts = entry.fields().flat_map(|(field, value)| [field.to_vec(), value.to_vec()]);
        let last = self.entries.insert(entry.id, texts.collect());
        assert!(last.is_none() && self.entries.last_key_value().is_some_and(|e| *e.0 == entry.id));
    }

    /// Takes in a fact that a stream shows.
    pub fn note_fact(&mut self, fact: &Fact<'_>) {
        let mut bytes = Vec::new();
        fact.encode(&mut bytes);
        items_of(&bytes).for_each(|item| self.put(&item));
    }

    /// Number of entries and facts.
    pub fn len(&self) -> usize {
        self.entries.len() + self.facts.len()
    }

    /// A bound of what a record of it takes, in bytes.
    pub fn record_bytes(&self) -> usize {
        let entries = self.entries.values().map(|texts| {
            let texts = texts.iter().map(|text| text.len() + 10);
            // In the worst case each entry has a chunk of its own, which names its fields again.
            200 + 2 * texts.sum::<usize>()
        });
        entries.sum::<usize>() + 90 * self.facts.len()
    }

    /// Changes it.
    pub fn apply(&mut self, edit: &Edit<'_>) {
        match *edit {
            Edit::Append { entry, .. } => {
                let (id, at) = StreamId::decode(entry, 0).expect("an ID");
                // One byte tells the number of pairs.
                let texts = Texts::new(&entry[at + 1..]).map(<[u8]>::to_vec).collect();
                self.entries.insert(id, texts);
                self.numbers.last_id = id;
                self.numbers.entries_added += 1;
            }
            Edit::Delete { ids } => {
                let mut at = 0;
                while let Some((id, end)) = StreamId::decode(ids, at) {
                    if self.entries.remove(&id).is_some() {
                        self.numbers.max_deleted_id = self.numbers.max_deleted_id.max(id);
                    }
                    at = end;
                }
            }
            Edit::Trim { count } => (0..count).for_each(|_| drop(self.entries.pop_first())),
            Edit::Renumber { numbers } => {
                self.numbers = Numbers::decode(numbers, 0).expect("numbers").0;
            }
            Edit::Put { items } => items_of(items).for_each(|item| self.put(&item)),
            Edit::Remove { members } => {
                items_of(members).for_each(|item| self.remove(item.member));
            }
            _ => panic!("{edit:?} of a stream"),
        }
    }

    fn put(&mut self, item: &Item<'_>) {
        self.facts.insert(item.member.to_vec(), item.payload.to_vec());
    }

    fn remove(&mut self, member: &[u8]) {
        let gone = Topic::decode(member).expect("a topic");
        self.facts.retain(|other, payload| {
            let fact = Fact::decode(&Item::new(other, payload)).expect("a fact");
            !match (gone, fact) {
                (
                    Topic::Group { name },
                    Fact::Consumer { group, .. } | Fact::Pending { group, .. },
                ) => name == NAMES[group as usize],
                (Topic::Consumer { group, name }, Fact::Pending { group: own, delivery, .. }) => {
                    let number = delivery.consumer();
                    own == group && number.is_some_and(|number| name == NAMES[number as usize])
                }
                (Topic::Idempotence, Fact::Producer { .. } | Fact::Added { .. }) => true,
                (Topic::Producer { number }, Fact::Added { added, .. }) => added.producer == number,
                _ => other == member,
            }
        });
    }

    /// The stream.
    pub fn stream(&self, encoding: u8, hasher: MemberHasher) -> Stream {
        let mut stream = Stream::new(encoding, hasher);
        for (id, texts) in &self.entries {
            let entry = entry_of(*id, texts);
            let begins_chunk = stream.tail_chunk().len_ever() >= 100;
            assert!(stream.append(&NewEntry::decode(&entry).expect("an entry"), begins_chunk));
        }
        stream.set_numbers(self.numbers);
        for (member, payload) in &self.facts {
            let fact = Fact::decode(&Item::new(member, payload)).expect("a fact");
            assert!(stream.put_fact(&fact));
        }
        stream
    }

    /// A change of it, as the bytes of an edit. It may leave nothing.
    pub fn random_edit(&self, below: Below<'_>) -> Vec<u8> {
        let choice = if self.len() == 0 { below(2) } else { below(10) };
        match choice {
            0 | 4..7 => self.random_append(below),
            2 if !self.entries.is_empty() => {
                let from = below(self.entries.len() as u64) as usize;
                let mut ids = Vec::new();
                let gone = self.entries.keys().skip(from).take(1 + below(40) as usize);
                gone.for_each(|id| id.encode(&mut ids));
                Edit::Delete { ids: &ids }.to_bytes()
            }
            3 => Edit::Trim { count: below(self.entries.len() as u64 + 2) }.to_bytes(),
            7 => {
                let last_id = self.numbers.last_id.next().unwrap_or(StreamId::MAX);
                let numbers = Numbers { last_id, entries_added: below(900), ..self.numbers };
                let mut bytes = Vec::new();
                numbers.encode(&mut bytes);
                Edit::Renumber { numbers: &bytes }.to_bytes()
            }
            8 if !self.facts.is_empty() => {
                let at = below(self.facts.len() as u64) as usize;
                let member = self.facts.keys().nth(at).expect("there are so many");
                let mut members = Vec::new();
                Item::new(member, b"").encode(&mut members);
                Edit::Remove { members: &members }.to_bytes()
            }
            _ => self.random_facts(below),
        }
    }

    /// Fills it with entries and facts that take several chunks each.
    pub fn fill(&mut self, count: u64, below: Below<'_>) {
        for _ in 0..count / 3 {
            let edit = self.random_append(below);
            self.apply(&Edit::from_bytes(&edit).expect("it was encoded here"));
        }
        for _ in 0..count / 20 {
            let edit = self.random_facts(below);
            self.apply(&Edit::from_bytes(&edit).expect("it was encoded here"));
        }
    }

    fn random_append(&self, below: Below<'_>) -> Vec<u8> {
        let last = self.numbers.last_id;
        let id = match below(3) {
            0 => StreamId { ms: last.ms + 1 + below(5), seq: below(3) },
            _ => StreamId { ms: last.ms, seq: last.seq + 1 + below(3) },
        };
        let mut texts = Vec::new();
        for _ in 0..1 + below(3) {
            texts.push([&b"field"[..], b"other"][below(2) as usize].to_vec());
            texts.push(vec![below(256) as u8; below(60) as usize]);
        }
        let begins_chunk = below(30) == 0;
        Edit::Append { begins_chunk, entry: &entry_of(id, &texts) }.to_bytes()
    }

    /// Names of entries of two producers, which have their number in them.
    fn random_names(&self, below: Below<'_>) -> Vec<u8> {
        let mut items = Vec::new();
        let state = Idempotence { added: below(90), ..Idempotence::default() };
        Fact::Idempotence { state }.encode(&mut items);
        let producer = below(2);
        Fact::Producer { number: producer, name: NAMES[producer as usize] }.encode(&mut items);
        for _ in 0..below(20) {
            let number = below(60);
            let name = format!("{number} {}", "x".repeat(below(2) as usize * 40));
            let id = StreamId { ms: below(200), seq: below(3) };
            let added = Added { producer, id, name: name.as_bytes() };
            Fact::Added { number, added }.encode(&mut items);
        }
        Edit::Put { items: &items }.to_bytes()
    }

    fn random_facts(&self, below: Below<'_>) -> Vec<u8> {
        if below(4) == 0 {
            return self.random_names(below);
        }
        let (group, number) = (below(3), below(3));
        let mut items = Vec::new();
        let entries_read = Some(below(90)).filter(|count| *count < 60);
        let last_id = StreamId { ms: below(90), seq: 1 };
        let state = GroupState { number: group, last_id, entries_read };
        Fact::Group { name: NAMES[group as usize], state }.encode(&mut items);
        let active_ms = Some(below(90)).filter(|at| *at < 60);
        let state = ConsumerState { number, seen_ms: below(90), active_ms };
        Fact::Consumer { group, name: NAMES[number as usize], state }.encode(&mut items);
        for _ in 0..below(30) {
            let id = StreamId { ms: below(200), seq: below(3) };
            let holder = match below(4) {
                // No two entries may have one place.
                0 => Holder::Nobody { place: 3 * id.ms + id.seq },
                _ => Holder::Consumer { at_ms: below(90), number },
            };
            let delivery = Delivery { holder, count: below(5) };
            Fact::Pending { group, id, delivery }.encode(&mut items);
        }
        Edit::Put { items: &items }.to_bytes()
    }
}

fn entry_of(id: StreamId, texts: &[Vec<u8>]) -> Vec<u8> {
    let mut entry = Vec::new();
    NewEntry::encode(id, texts.len() / 2, texts.iter().map(|text| &text[..]), &mut entry);
    entry
}
