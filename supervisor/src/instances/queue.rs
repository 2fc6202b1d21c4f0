//! Who may start now: a few at a time, in the order in which they asked, so that a host that boots with fifty
//! instances does not starve its own starters.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// The line before the start. Clones are the same one.
#[derive(Clone, Debug)]
pub struct StartQueue(Arc<Mutex<Line>>);

#[derive(Debug)]
struct Line {
    /// How many may start at once.
    places: usize,
    taken: usize,
    waiting: VecDeque<(String, oneshot::Sender<Place>)>,
}

/// A place among those that start; dropping it lets the next one in.
#[derive(Debug)]
pub struct Place(StartQueue);

/// Somebody in the line; dropping it leaves the line.
#[derive(Debug)]
pub struct Ticket(oneshot::Receiver<Place>);

impl StartQueue {
    /// A line with this many places, at least one.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(Line {
            places: places.max(1),
            taken: 0,
            waiting: VecDeque::new(),
        })))
    }

    /// Joins the end of the line.
    #[must_use]
    pub fn join(&self, id: &str) -> Ticket {
        let (sender, receiver) = oneshot::channel();
        self.line().waiting.push_back((id.to_owned(), sender));
        self.admit();
        Ticket(receiver)
    }

    /// Where in the line an instance is, counted from 1; `None` when it does not wait.
    #[must_use]
    pub fn position(&self, id: &str) -> Option<usize> {
        let line = self.line();
        let waiting = line.waiting.iter().filter(|(_, place)| !place.is_closed());
        waiting
            .enumerate()
            .find(|(_, (waiting, _))| waiting == id)
            .map(|(before, _)| before + 1)
    }

    fn admit(&self) {
        loop {
            let sender = {
                let mut line = self.line();
                if line.taken >= line.places {
                    return;
                }
                let Some((_, sender)) = line.waiting.pop_front() else {
                    return;
                };
                if sender.is_closed() {
                    continue;
                }
                line.taken += 1;
                sender
            };
            // One that left in this moment gives the place back by dropping it.
            drop(sender.send(Place(self.clone())));
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticket {
    /// Waits for the place. May be dropped and called again.
    pub async fn place(&mut self) -> Option<Place> {
        (&mut self.0).await.ok()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.line().taken -= 1;
        self.0.admit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn first_come_first_served_and_leavers_hold_nobody_up() {
        let queue = StartQueue::new(2);
        let mut tickets: Vec<Ticket> = ["a", "b", "c", "d", "e"].map(|id| queue.join(id)).into();
        let first = tickets[0].place().await.expect("a place");
        let second = tickets[1].place().await.expect("a place");
        assert_eq!(
            [queue.position("a"), queue.position("c"), queue.position("e")],
            [None, Some(1), Some(3)]
        );
        drop(tickets.remove(2));
        assert_eq!(queue.position("d"), Some(1));
        drop(first);
        let third = tickets[2].place().await.expect("d's place");
        assert_eq!(queue.position("e"), Some(1));
        drop((second, third));
        assert!(tickets[3].place().await.is_some());
    }
}
