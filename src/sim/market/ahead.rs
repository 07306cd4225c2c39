//! Reading ahead: a thread reads and checks rows while the loop works on those it has.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::SourceError;

/// Rows handed over at a time: waking a thread costs as much as reading a hundred of them.
const BATCH_ROWS: usize = 4_096;
/// Batches on their way: the memory this takes does not depend on the file.
const BATCHES: usize = 4;

/// Rows, and how reading ended, if they are the last.
type Batch<T> = (Vec<T>, Option<Result<(), SourceError>>);

/// Rows that another thread reads, in their order.
pub(super) struct Ahead<T> {
    batches: Receiver<Batch<T>>,
    /// Emptied batches go back, so that reading allocates nothing.
    spent: Sender<Vec<T>>,
    rows: Vec<T>,
    next: usize,
    /// How reading ended: told once the rows before it are used up.
    end: Option<Result<(), SourceError>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Copy + Send + 'static> Ahead<T> {
    /// Starts reading: `read` is called until it has no more, or fails.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn new(
        mut read: impl FnMut() -> Result<Option<T>, SourceError> + Send + 'static,
    ) -> std::io::Result<Ahead<T>> {
        let (send, batches) = bounded(BATCHES);
        let (spent, reuse) = bounded::<Vec<T>>(BATCHES + 1);
        let work = move || {
            loop {
                let mut rows = reuse.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH_ROWS));
                rows.clear();
                let end = fill(&mut rows, &mut read);
                let over = end.is_some();
                // Nobody reads on: the run has ended.
                if send.send((rows, end)).is_err() || over {
                    return;
                }
            }
        };
        let thread = thread::Builder::new().name("qtx-read".to_string()).spawn(work)?;
        Ok(Ahead { batches, spent, rows: Vec::new(), next: 0, end: None, thread: Some(thread) })
    }

    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// What `read` failed with, after the rows before it.
    #[inline]
    pub fn next(&mut self) -> Result<Option<T>, SourceError> {
        if self.next == self.rows.len() && !self.refill()? {
            return Ok(None);
        }
        let row = self.rows.get(self.next).copied();
        self.next += 1;
        Ok(row)
    }

    fn refill(&mut self) -> Result<bool, SourceError> {
        while self.next == self.rows.len() {
            if let Some(end) = &mut self.end {
                // An error is told once; after it the source is at its end.
                return std::mem::replace(end, Ok(())).map(|()| false);
            }
            let Ok((rows, end)) = self.batches.recv() else {
                self.end = Some(Ok(()));
                return Err(SourceError::new("qtx-read", 0, "thread", b"", "the reading thread died"));
            };
            let _ = self.spent.try_send(std::mem::replace(&mut self.rows, rows));
            (self.next, self.end) = (0, end);
        }
        Ok(true)
    }
}

/// Rows until the batch is full; the end, in order or with an error, if it came.
fn fill<T>(
    rows: &mut Vec<T>,
    read: &mut impl FnMut() -> Result<Option<T>, SourceError>,
) -> Option<Result<(), SourceError>> {
    while rows.len() < BATCH_ROWS {
        match read() {
            Ok(Some(row)) => rows.push(row),
            Ok(None) => return Some(Ok(())),
            Err(error) => return Some(Err(error)),
        }
    }
    None
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        // The thread ends when it finds nobody to send to.
        self.batches = bounded(0).1;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(count: u64, fails: bool) -> Ahead<u64> {
        let mut next = 0;
        let read = move || {
            next += 1;
            match next {
                row if row <= count => Ok(Some(row)),
                _ if fails => Err(SourceError::new("f", 0, "row", b"", "a row")),
                _ => Ok(None),
            }
        };
        Ahead::new(read).unwrap()
    }

    #[test]
    fn every_row_comes_once_and_in_order() {
        let batch = BATCH_ROWS as u64;
        for count in [0, 1, batch - 1, batch, batch + 1, 10 * batch + 7] {
            let mut ahead = rows(count, false);
            for expected in 1..=count {
                assert_eq!(ahead.next().unwrap(), Some(expected));
            }
            assert_eq!(ahead.next().unwrap(), None);
            assert_eq!(ahead.next().unwrap(), None, "the end stays");
        }
    }

    #[test]
    fn a_failure_comes_after_the_rows_before_it() {
        for count in [0, 5, BATCH_ROWS as u64] {
            let mut ahead = rows(count, true);
            for expected in 1..=count {
                assert_eq!(ahead.next().unwrap(), Some(expected));
            }
            assert!(ahead.next().is_err(), "{count}");
            assert_eq!(ahead.next().unwrap(), None);
        }
    }

    #[test]
    fn a_reader_that_dies_is_an_error_and_no_end_of_the_market() {
        let mut next = 0;
        let read = move || {
            next += 1;
            assert!(next <= 2, "dies at the third row");
            Ok(Some(next))
        };
        let mut ahead: Ahead<u64> = Ahead::new(read).unwrap();
        let error = ahead.next().expect_err("its rows went with it");
        assert!(error.to_string().contains("died"), "{error}");
        assert_eq!(ahead.next().unwrap(), None);
    }

    #[test]
    fn a_reader_that_is_dropped_ends_its_thread() {
        // Joined in drop: a thread that went on would hang this test.
        drop(rows(u64::MAX, false));
    }
}
