//! The table of connections: O(1) everywhere, and stale keys are harmless.

/// Names one value for as long as it lives: a reused place has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key(u64);

impl Key {
    fn new(generation: u32, index: u32) -> Self {
        Self(u64::from(generation) << 32 | u64::from(index))
    }

    /// The key as a number, to be given to the kernel; below [`Key::LIMIT`].
    pub(crate) fn to_u64(self) -> u64 {
        self.0
    }

    /// The key that the kernel gave back.
    pub(crate) fn from_u64(number: u64) -> Self {
        Self(number)
    }

    /// Numbers from here on are never keys.
    pub(crate) const LIMIT: u64 = 1 << 63;

    fn generation(self) -> u32 {
        u32::try_from(self.0 >> 32).expect("32 bits are left")
    }

    fn place(self) -> usize {
        usize::try_from(self.0 & u64::from(u32::MAX)).expect("a usize has 32 bits or more")
    }
}

#[derive(Debug)]
struct Place<T> {
    /// Of the value here, or of the next one; 31 bits, so that keys stay below their limit.
    generation: u32,
    value: Option<T>,
}

/// Values in places that are used again, the last freed first: its memory is the warmest.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { places: Vec::new(), free: Vec::new() }
    }

    /// Values here.
    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Puts a value in.
    pub(crate) fn insert(&mut self, value: T) -> Key {
        let index = self.free.pop().unwrap_or_else(|| {
            self.places.push(Place { generation: 0, value: None });
            u32::try_from(self.places.len() - 1).expect("fewer connections than 2^32")
        });
        let place = &mut self.places[index as usize];
        place.value = Some(value);
        Key::new(place.generation, index)
    }

    /// The value of that key, if it still lives.
    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.place())?;
        if place.generation == key.generation() { place.value.as_mut() } else { None }
    }

    /// Takes the value of that key out, if it still lives.
    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place =
            self.places.get_mut(key.place()).filter(|p| p.generation == key.generation())?;
        let value = place.value.take()?;
        place.generation = (place.generation + 1) & (u32::MAX >> 1);
        self.free.push(u32::try_from(key.place()).expect("it came from a u32"));
        Some(value)
    }

    /// The keys of all values. Looks at every place: for once in a process's life.
    pub(crate) fn keys(&self) -> Vec<Key> {
        let numbered = (0_u32..).zip(&self.places);
        let living = numbered.filter(|(_, place)| place.value.is_some());
        living.map(|(index, place)| Key::new(place.generation, index)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_finds_nothing_even_when_its_place_is_used_again() {
        let mut slab = Slab::new();
        let (first, second) = (slab.insert('a'), slab.insert('b'));
        assert_eq!(slab.len(), 2);
        assert_eq!(slab.remove(first), Some('a'));
        assert_eq!(slab.remove(first), None);
        let third = slab.insert('c');
        assert_eq!(third.place(), first.place());
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get_mut(third), Some(&mut 'c'));
        assert_eq!(slab.get_mut(Key::from_u64(second.to_u64())), Some(&mut 'b'));
        assert_eq!(slab.keys(), [third, second]);
        assert_eq!(slab.get_mut(Key::new(0, 99)), None);
    }

    #[test]
    fn generations_wrap_below_the_limit() {
        let mut slab = Slab::new();
        let key = slab.insert(1);
        slab.places[key.place()].generation = u32::MAX >> 1;
        let last = Key::new(u32::MAX >> 1, 0);
        assert!(last.to_u64() < Key::LIMIT);
        assert_eq!(slab.remove(last), Some(1));
        assert_eq!(slab.insert(2), Key::new(0, 0));
        assert_eq!(slab.remove(Key::new(0, 0)), Some(2));
        assert!(slab.is_empty());
    }
}
