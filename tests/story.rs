//! A small world told in text: `document:1 viewer user:anne`, with a condition `document:1 viewer user:anne with small {"x": 1}`.
//! [`Story::yes`] and [`Story::no`] ask all three questions, so that no test believes only one of them.

use bailiwick::Bailiwick;
use bailiwick::engine::*;
use bailiwick::model::Model;
use bailiwick::tuple::*;
use std::collections::BTreeSet;

/// A database with one store, and what the questions to it add.
pub(crate) struct Story {
    pub(crate) database: Bailiwick,
    pub(crate) store: StoreId,
    pub(crate) given: Vec<Tuple>,
    pub(crate) context: Context,
    next: u64,
    _directory: tempfile::TempDir,
}

/// A tuple from text.
pub(crate) fn tuple(text: &str) -> Tuple {
    let parts: Vec<&str> = text.splitn(4, ' ').collect();
    let [object, relation, subject] = [parts[0], parts[1], parts[2]];
    let mut tuple = TupleKeyRef::parse(object, relation, subject).unwrap_or_else(|e| panic!("{text}: {e}")).to_tuple();
    if let Some(condition) = parts.get(3) {
        let condition = condition.strip_prefix("with ").unwrap_or_else(|| panic!("{text}"));
        let (name, context) = condition.split_once(' ').unwrap_or((condition, "{}"));
        let context = serde_json::from_str(context).unwrap_or_else(|e| panic!("{text}: {e}"));
        tuple.condition = Some(TupleCondition { name: name.into(), context });
    }
    tuple
}

/// Tuples from text.
pub(crate) fn tuples(texts: &[&str]) -> Vec<Tuple> {
    texts.iter().map(|text| tuple(text)).collect()
}

/// A model from its types and conditions.
pub(crate) fn model(text: &str) -> Model {
    let text = if text.starts_with("model") { text.to_owned() } else { format!("model\n  schema 1.1\n{text}") };
    Model::parse_dsl(&text).unwrap_or_else(|e| panic!("{e:?}\n{text}"))
}

/// `user` or `group#member`, of a subject.
pub(crate) fn kind(subject: &Subject) -> (String, Option<String>) {
    match subject {
        Subject::Object(object) => (object.object_type.clone(), None),
        Subject::Userset { object, relation } => (object.object_type.clone(), Some(relation.clone())),
        Subject::Wildcard { object_type } => (object_type.clone(), None),
    }
}

impl Story {
    /// A store with a model.
    pub(crate) fn new(text: &str) -> Story {
        let directory = tempfile::tempdir().unwrap();
        let settings = Settings { sync: false, ..Settings::default() };
        let database = Bailiwick::open_with(directory.path(), settings).unwrap();
        let store = StoreId(ulid::Ulid::from_parts(1, 1));
        database.create_store(store, "story", Timestamp(1)).unwrap();
        let (given, context) = (Vec::new(), Context::new());
        let mut story = Story { database, store, given, context, next: 1, _directory: directory };
        story.model(text);
        story
    }

    /// A model that answers from now on.
    pub(crate) fn model(&mut self, text: &str) {
        self.next += 1;
        let id = ModelId(ulid::Ulid::from_parts(self.next, 2));
        self.database.write_model(self.store, id, model(text)).unwrap();
    }

    /// Writes.
    pub(crate) fn write(&self, texts: &[&str]) -> Result<(), WriteError> {
        let query = WriteQuery { writes: tuples(texts), ..WriteQuery::default() };
        self.database.write(self.store, None, query, Timestamp(1)).map(drop)
    }

    /// Deletes.
    pub(crate) fn delete(&self, texts: &[&str]) -> Result<(), WriteError> {
        let query = WriteQuery { deletes: tuples(texts), ..WriteQuery::default() };
        self.database.write(self.store, None, query, Timestamp(1)).map(drop)
    }

    /// The newest state.
    pub(crate) fn view(&self) -> View {
        self.database.view(self.store, None, Consistency::Latest).unwrap()
    }

    /// What every question adds.
    pub(crate) fn added(&self) -> Given<'_> {
        Given { contextual_tuples: &self.given, context: Some(&self.context) }
    }

    /// Check.
    pub(crate) fn check(&self, text: &str) -> Result<bool, QuestionError> {
        let tuple = tuple(text);
        let query = CheckQuery { key: tuple.key(), given: self.added() };
        Ok(self.view().check(&query, &Limits::default())? == Decision::Allow)
    }

    /// ListObjects.
    pub(crate) fn objects(
        &self,
        subject: &str,
        relation: &str,
        object_type: &str,
    ) -> Result<BTreeSet<String>, QuestionError> {
        let subject = SubjectRef::parse(subject).unwrap();
        let query = ListObjectsQuery { object_type, relation, subject, given: self.added() };
        let listed = self.view().list_objects(&query, &Limits::default())?;
        let ids: Vec<String> = listed.iter().map(str::to_owned).collect();
        let set: BTreeSet<String> = ids.iter().cloned().collect();
        assert_eq!(set.len(), ids.len(), "list objects repeats itself: {ids:?}");
        Ok(set)
    }

    /// ListUsers of a kind: `user`, or `group#member`.
    pub(crate) fn users(&self, object: &str, relation: &str, wanted: &str) -> Result<Vec<String>, QuestionError> {
        let (subject_type, subject_relation) = wanted.split_once('#').map_or((wanted, None), |(t, r)| (t, Some(r)));
        let object = ObjectRef::parse(object).unwrap();
        let query = ListUsersQuery { object, relation, subject_type, subject_relation, given: self.added() };
        let listed = self.view().list_users(&query, &Limits::default())?;
        let mut texts: Vec<String> = listed.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        Ok(texts)
    }

    fn asked(&self, text: &str) -> (bool, bool, bool, bool) {
        let question = tuple(text);
        let allowed = self.check(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        let (object_type, id) = (&question.object.object_type, &question.object.id);
        let objects = self.objects(&question.subject.to_string(), &question.relation, object_type);
        let objects = objects.unwrap_or_else(|e| panic!("list objects for {text}: {e}"));
        let (subject_type, relation) = kind(&question.subject);
        let wanted = relation.map_or(subject_type.clone(), |r| format!("{subject_type}#{r}"));
        let users = self.users(&question.object.to_string(), &question.relation, &wanted);
        let users = users.unwrap_or_else(|e| panic!("list users for {text}: {e}"));
        let open = matches!(question.subject, Subject::Object(_)) && users.contains(&format!("{subject_type}:*"));
        (allowed, objects.contains(id), users.contains(&question.subject.to_string()), open)
    }

    /// All three questions say yes.
    #[track_caller]
    pub(crate) fn yes(&self, text: &str) {
        let (allowed, in_objects, in_users, open) = self.asked(text);
        assert!(allowed, "check denies {text}");
        assert!(in_objects, "list objects leaves out {text}");
        assert!(in_users || open, "list users leaves out {text}");
    }

    /// All three questions say no.
    #[track_caller]
    pub(crate) fn no(&self, text: &str) {
        let (allowed, in_objects, in_users, _) = self.asked(text);
        assert!(!allowed, "check allows {text}");
        assert!(!in_objects, "list objects lists {text}");
        assert!(!in_users, "list users lists {text}");
    }
}
