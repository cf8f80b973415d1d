//! The connections of one thread, by slot and generation.

use crate::ring::ConnId;

/// Values in slots that are used again; an id names one use of a slot.
#[derive(Debug)]
pub(crate) struct Table<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

#[derive(Debug)]
struct Slot<T> {
    id: ConnId,
    value: Option<T>,
}

impl<T> Table<T> {
    /// An empty table.
    pub(crate) const fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    /// Values in it.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Puts in what `make` returns for the id it will have.
    ///
    /// # Panics
    /// Panics beyond 2³² values, which `--max-connections` does not allow.
    pub(crate) fn insert(&mut self, make: impl FnOnce(ConnId) -> T) -> ConnId {
        if let Some(slot) = self.free.pop() {
            let slot = &mut self.slots[slot as usize];
            slot.value = Some(make(slot.id));
            return slot.id;
        }
        let id = ConnId::first(u32::try_from(self.slots.len()).expect("the limit is lower"));
        self.slots.push(Slot { id, value: Some(make(id)) });
        id
    }

    /// The value, unless it is gone.
    pub(crate) fn get_mut(&mut self, id: ConnId) -> Option<&mut T> {
        let slot = self.slots.get_mut(id.slot()).filter(|slot| slot.id == id)?;
        slot.value.as_mut()
    }

    /// Whoever has the slot now.
    pub(crate) fn in_slot(&mut self, slot: usize) -> Option<(ConnId, &mut T)> {
        let slot = self.slots.get_mut(slot)?;
        let id = slot.id;
        slot.value.as_mut().map(|value| (id, value))
    }

    /// Takes the value out; its id names nothing from now on.
    pub(crate) fn remove(&mut self, id: ConnId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot()).filter(|slot| slot.id == id)?;
        let value = slot.value.take()?;
        slot.id = id.next();
        self.free.push(u32::try_from(id.slot()).expect("it was made from a u32"));
        Some(value)
    }

    /// The ids of all values now, for the rare moments (draining) that concern every connection.
    pub(crate) fn ids(&self) -> Vec<ConnId> {
        self.slots.iter().filter(|slot| slot.value.is_some()).map(|slot| slot.id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_nothing_once_its_value_is_gone_and_the_slot_is_used_again() {
        let mut table = Table::new();
        let first = table.insert(|_| 'a');
        assert_eq!(table.get_mut(first), Some(&mut 'a'));
        assert_eq!(table.remove(first), Some('a'));
        assert_eq!(table.remove(first), None);

        let second = table.insert(|_| 'b');
        assert_eq!(second.slot(), first.slot());
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get_mut(second), Some(&mut 'b'));
        assert_eq!((table.len(), table.ids()), (1, vec![second]));
        assert_eq!(table.in_slot(0), Some((second, &mut 'b')));
        assert_eq!(table.in_slot(1), None);
    }

    #[test]
    fn an_id_of_a_slot_never_used_names_nothing() {
        let mut table = Table::<char>::new();
        assert_eq!(table.get_mut(ConnId::first(3)), None);
        assert_eq!(table.remove(ConnId::first(3)), None);
    }
}
