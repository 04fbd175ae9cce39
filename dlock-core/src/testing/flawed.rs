//! Backends that break one promise each: the proof that the suite notices.

use crate::backend::embedded::EmbeddedBackend;
use crate::backend::{
    AcquireRequest, Admin, Backend, BackendFuture, Claim, ForcedRelease, Grant, Inspection, ListCursor,
    LockPage, Mode, Reopening, Share,
};
use crate::error::{ErrorKind, LockError};
use crate::guarantees::Guarantees;
use crate::key::{LockKey, Namespace};
use crate::lease::{FencingToken, OwnerId, Ttl};
use crate::time::{Moment, sleep_until};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Every owner is granted every key.
    GrantsEverybody,
    /// All grants have one token.
    RepeatsTokens,
    /// A release frees the lock of any holder.
    ReleasesForAnybody,
    /// A renewal succeeds for any holder.
    RenewsForAnybody,
    /// A second request of one owner is another owner's.
    ForgetsOwners,
    /// The last to come is served first.
    ServesTheLastFirst,
    /// A waiter takes it for its turn when the one ahead of it leaves.
    MistakesDepartures,
    /// A try is granted a lock that others wait for.
    LetsTriesPass,
    /// A release does nothing.
    NeverReleases,
    /// A release of a waiter leaves it in the queue.
    KeepsWaiters,
    /// A lease never ends.
    NeverExpires,
    /// A lease ends for its holder alone: the key stays closed, and a release comes too late then.
    OutlivesLeases,
    /// A grant is in doubt from the first, and stays so.
    DoubtsForEver,
    /// Keys are cut at the first byte that is not a letter or digit.
    MixesKeysUp,
    /// Promises blocks of tokens, and gives one token.
    PromisesTokens,
    /// Keeps a queue, and does not say so.
    DeniesItsQueue,
    /// A namespace makes no difference.
    ForgetsNamespaces,
    /// An inspection shows no holder.
    HidesHolders,
    /// The last waiter is named first.
    NamesTheLastFirst,
    /// A list names locks of all keys.
    ListsEverything,
    /// A lock that is taken away is open at once.
    OpensTooSoon,
    /// A lock that is taken away is kept.
    TakesNothing,
    /// A lock is taken away from any holder.
    TakesFromAnybody,
    /// A part is all of the key.
    PartsAreAll,
    /// Parts of a key are of another key.
    PartsStandApart,
    /// Each part has a weight of one.
    ForgetsWeights,
    /// Parts of different numbers are held together.
    MixesNumbers,
    /// Who wants more than one part waits by trying, and is passed by those that want one.
    LetsSmallOnesPass,
    /// A renewal of one part renews all.
    KeepsDeadParts,
    /// A renewal of a part does nothing.
    NeverRenewsParts,
    /// The release of a part leaves the others without theirs.
    ReleasesAllParts,
    /// A downgrade is a release, and an acquire after it.
    DowngradesInTwoSteps,
    /// A reader becomes a writer whoever else is there.
    UpgradesAnybody,
    /// An exchange is carried out, and forgotten by whoever asks again.
    ForgetsExchanges,
    /// An inspection shows all of a key for each share.
    HidesShares,
    /// Keeps shares, and does not say so.
    DeniesItsShares,
}

/// An [`EmbeddedBackend`] with one [`Flaw`].
#[derive(Debug, Clone)]
pub struct FlawedBackend {
    inner: EmbeddedBackend,
    flaw: Flaw,
    waiting: Arc<Mutex<Vec<OwnerId>>>,
    holders: Arc<Mutex<HashMap<LockKey, Claim>>>,
    deadlines: Arc<Mutex<HashMap<OwnerId, Moment>>>,
    /// All parts that were ever granted.
    parts: Arc<Mutex<Vec<Claim>>>,
}

impl FlawedBackend {
    /// A store of locks with this flaw. Clones share the store.
    #[must_use]
    pub fn new(flaw: Flaw) -> Self {
        Self {
            inner: EmbeddedBackend::new(),
            flaw,
            waiting: Arc::default(),
            holders: Arc::default(),
            deadlines: Arc::default(),
            parts: Arc::default(),
        }
    }

    fn claim(&self, claim: &Claim) -> Claim {
        let mut claim = claim.clone();
        match self.flaw {
            Flaw::GrantsEverybody => {
                claim.key = LockKey::new(format!("{:x}", claim.owner.as_u128())).expect("a valid key");
            }
            Flaw::NeverExpires | Flaw::OutlivesLeases => claim.ttl = Ttl::new(Ttl::MAX).expect("a valid ttl"),
            Flaw::MixesKeysUp => {
                let letters = claim.key.as_bytes().iter().take_while(|byte| byte.is_ascii_alphanumeric());
                let cut: Vec<u8> = letters.copied().chain(*b"-").collect();
                claim.key = LockKey::new(cut).expect("a valid key");
            }
            Flaw::PartsStandApart if !claim.share.is_all() => {
                claim.key = LockKey::new([claim.key.as_bytes(), b"-part"].concat()).expect("a valid key");
            }
            _ => claim.share = self.share(claim.share),
        }
        claim
    }

    fn share(&self, share: Share) -> Share {
        let part = |weight, of| NonZeroU32::new(of).map_or(share, |of| Share::Part { weight, of });
        match (self.flaw, share) {
            (Flaw::PartsAreAll, _) => Share::All,
            (Flaw::ForgetsWeights, Share::Part { of, .. }) => part(NonZeroU32::MIN, of.get()),
            (Flaw::MixesNumbers, Share::Part { weight, .. }) => part(weight, 1_000),
            _ => share,
        }
    }

    async fn ask(&self, claim: Claim, mode: Mode) -> Result<Grant, LockError> {
        let (inner, request) = (self.inner.clone(), AcquireRequest::new(claim.clone(), mode));
        let asking = async move { inner.acquire(&request).await };
        let mut grant = match self.flaw {
            Flaw::KeepsWaiters => tokio::spawn(asking).await.expect("an acquire does not panic")?,
            _ => asking.await?,
        };
        if self.flaw == Flaw::RepeatsTokens {
            grant.token = FencingToken::new(7);
        }
        if !claim.share.is_all() {
            self.parts.lock().push(claim.clone());
        }
        self.holders.lock().insert(claim.key.clone(), claim);
        Ok(grant)
    }

    /// The grant as the holder is told of it.
    async fn acquire_for(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        let mut grant = self.acquire(request).await?;
        if self.flaw == Flaw::OutlivesLeases {
            grant.valid_until = request.claim.ttl.valid_until(Moment::now());
            self.deadlines.lock().insert(request.claim.owner, grant.valid_until);
        }
        Ok(grant)
    }

    fn is_over(&self, owner: OwnerId) -> bool {
        self.deadlines.lock().get(&owner).is_some_and(|deadline| *deadline <= Moment::now())
    }

    async fn acquire(&self, request: &AcquireRequest) -> Result<Grant, LockError> {
        if self.flaw == Flaw::DoubtsForEver {
            request.loss().doubt();
        }
        let mut claim = self.claim(&request.claim);
        match (self.flaw, request.mode) {
            (Flaw::ForgetsOwners, _) => {
                claim.owner = OwnerId::random()?;
                self.ask(claim, request.mode).await
            }
            (Flaw::ServesTheLastFirst | Flaw::LetsTriesPass, Mode::Wait) => {
                self.ask_in_turns(request, claim).await
            }
            (Flaw::LetsSmallOnesPass, Mode::Wait) if claim.share.is_all() || claim.share.weight() > 1 => {
                self.ask_over_and_over(request, claim).await
            }
            (_, Mode::Try) => self.ask(claim, Mode::Try).await,
            (Flaw::MistakesDepartures, Mode::Wait) => self.ask_when_one_leaves(request, claim).await,
            (_, Mode::Wait) => {
                match self.ask(claim.clone(), Mode::Try).await {
                    Err(error) if error.kind() == ErrorKind::Busy => request.progress.queued(),
                    outcome => return outcome,
                }
                self.ask(claim, Mode::Wait).await
            }
        }
    }

    /// Waits by trying, so that the inner queue stays empty.
    async fn ask_in_turns(&self, request: &AcquireRequest, claim: Claim) -> Result<Grant, LockError> {
        self.waiting.lock().push(claim.owner);
        loop {
            let turn = match self.flaw {
                Flaw::ServesTheLastFirst => self.waiting.lock().last() == Some(&claim.owner),
                _ => self.waiting.lock().first() == Some(&claim.owner),
            };
            if turn && let Ok(grant) = self.ask(claim.clone(), Mode::Try).await {
                self.waiting.lock().retain(|owner| *owner != claim.owner);
                return Ok(grant);
            }
            request.progress.queued();
            sleep_until(Moment::now().after(Duration::from_millis(50))).await;
        }
    }

    async fn ask_over_and_over(&self, request: &AcquireRequest, claim: Claim) -> Result<Grant, LockError> {
        loop {
            match self.ask(claim.clone(), Mode::Try).await {
                Err(error) if error.kind() == ErrorKind::Busy => request.progress.queued(),
                outcome => return outcome,
            }
            sleep_until(Moment::now().after(Duration::from_millis(50))).await;
        }
    }

    /// Waits for its turn, or until the waiter ahead is gone.
    async fn ask_when_one_leaves(&self, request: &AcquireRequest, claim: Claim) -> Result<Grant, LockError> {
        let ahead = self.waiting.lock().last().copied();
        self.waiting.lock().push(claim.owner);
        loop {
            if ahead.is_some_and(|ahead| !self.waiting.lock().contains(&ahead)) {
                return Ok(Grant::new(FencingToken::new(u64::MAX), claim.ttl.valid_until(Moment::now())));
            }
            if let Ok(grant) = self.ask(claim.clone(), Mode::Try).await {
                return Ok(grant);
            }
            request.progress.queued();
            sleep_until(Moment::now().after(Duration::from_millis(5))).await;
        }
    }

    async fn release(&self, claim: &Claim) -> Result<(), LockError> {
        let mut claim = self.claim(claim);
        self.waiting.lock().retain(|owner| *owner != claim.owner);
        let holder = self.holders.lock().get(&claim.key).cloned();
        match self.flaw {
            Flaw::NeverReleases => return Ok(()),
            Flaw::OutlivesLeases if self.is_over(claim.owner) => return Ok(()),
            Flaw::KeepsWaiters if holder.as_ref().is_none_or(|holder| holder.owner != claim.owner) => {
                return Ok(());
            }
            Flaw::ReleasesForAnybody => claim = holder.unwrap_or(claim),
            _ => {}
        }
        if self.flaw == Flaw::ReleasesAllParts {
            for part in self.parts_of(&claim).into_iter().filter(|part| part.owner != claim.owner) {
                let _ = self.inner.release(&part).await;
            }
        }
        self.inner.release(&claim).await
    }

    fn parts_of(&self, claim: &Claim) -> Vec<Claim> {
        let parts = self.parts.lock();
        parts.iter().filter(|part| part.key == claim.key).cloned().collect()
    }

    async fn renew(&self, claim: Claim) -> Result<Moment, LockError> {
        if self.flaw == Flaw::NeverRenewsParts && !claim.share.is_all() {
            return Ok(claim.ttl.valid_until(Moment::now()));
        }
        if self.flaw == Flaw::KeepsDeadParts {
            for part in self.parts_of(&claim) {
                let _ = self.inner.renew(&part).await;
            }
        }
        self.inner.renew(&claim).await
    }

    async fn exchange(&self, held: Claim, wanted: &AcquireRequest) -> Result<Grant, LockError> {
        let mut wanted = wanted.for_claim(self.claim(&wanted.claim));
        match self.flaw {
            Flaw::DowngradesInTwoSteps => {
                self.inner.release(&held).await?;
                wanted.mode = Mode::Wait;
                self.inner.acquire(&wanted).await
            }
            Flaw::UpgradesAnybody if wanted.claim.share.is_all() => {
                let valid_until = held.ttl.valid_until(Moment::now());
                Ok(Grant::new(FencingToken::new(u64::MAX), valid_until))
            }
            Flaw::ForgetsExchanges => {
                let exchanged = self.inner.exchange(&held, &wanted).await?;
                if self.parts.lock().iter().any(|part| part.owner == wanted.claim.owner) {
                    return Ok(Grant::new(exchanged.token.next(), exchanged.valid_until));
                }
                self.parts.lock().push(wanted.claim);
                Ok(exchanged)
            }
            _ => self.inner.exchange(&held, &wanted).await,
        }
    }
}

impl Admin for FlawedBackend {
    fn inspect<'a>(&'a self, key: &'a LockKey, asker: Option<&'a Claim>) -> BackendFuture<'a, Inspection> {
        Box::pin(async move {
            let mut seen = self.inner.inspect(key, asker).await?;
            match self.flaw {
                Flaw::HidesHolders => seen.holders.clear(),
                Flaw::NamesTheLastFirst => seen.waiters.reverse(),
                Flaw::HidesShares => {
                    seen.holders.iter_mut().for_each(|holder| holder.share = Share::All);
                    seen.waiters.iter_mut().for_each(|waiter| waiter.share = Share::All);
                }
                _ => {}
            }
            Ok(seen)
        })
    }

    fn list<'a>(&'a self, prefix: &'a [u8], from: Option<&'a ListCursor>) -> BackendFuture<'a, LockPage> {
        let prefix = if self.flaw == Flaw::ListsEverything { b"" } else { prefix };
        self.inner.list(prefix, from)
    }

    fn force_release<'a>(
        &'a self,
        key: &'a LockKey,
        token: FencingToken,
        reopening: Reopening,
    ) -> BackendFuture<'a, ForcedRelease> {
        Box::pin(async move {
            let holder = self.inner.inspect(key, None).await?.holders.pop();
            match self.flaw {
                Flaw::OpensTooSoon => self.inner.force_release(key, token, Reopening::Now).await,
                Flaw::TakesNothing => Ok(ForcedRelease::new(token.next(), Duration::ZERO)),
                Flaw::TakesFromAnybody => {
                    let token = holder.and_then(|holder| holder.token).unwrap_or(token);
                    self.inner.force_release(key, token, reopening).await
                }
                _ => self.inner.force_release(key, token, reopening).await,
            }
        })
    }
}

impl Backend for FlawedBackend {
    fn name(&self) -> &'static str {
        "flawed"
    }

    fn guarantees(&self) -> Guarantees {
        let kept = self.inner.guarantees();
        match self.flaw {
            Flaw::PromisesTokens => kept | Guarantees::TOKEN_BLOCKS,
            Flaw::DeniesItsQueue => kept - Guarantees::QUEUE,
            Flaw::DeniesItsShares => kept - Guarantees::SHARES,
            _ => kept,
        }
    }

    fn acquire<'a>(&'a self, request: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(self.acquire_for(request))
    }

    fn renew<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, Moment> {
        Box::pin(async move {
            let claim = self.claim(claim);
            match self.renew(claim.clone()).await {
                Err(_) if self.flaw == Flaw::RenewsForAnybody => Ok(claim.ttl.valid_until(Moment::now())),
                outcome => outcome,
            }
        })
    }

    fn release<'a>(&'a self, claim: &'a Claim) -> BackendFuture<'a, ()> {
        Box::pin(self.release(claim))
    }

    fn exchange<'a>(&'a self, held: &'a Claim, wanted: &'a AcquireRequest) -> BackendFuture<'a, Grant> {
        Box::pin(self.exchange(self.claim(held), wanted))
    }

    fn acquire_at_once(&self, claim: &Claim, now: Moment) -> Option<Grant> {
        let grants = self.flaw == Flaw::GrantsEverybody;
        grants.then(|| Grant::new(FencingToken::new(7), claim.ttl.valid_until(now)))
    }

    fn admin(&self) -> Option<&dyn Admin> {
        Some(self)
    }

    fn namespaced(&self, _: &Namespace) -> Result<Option<Arc<dyn Backend>>, LockError> {
        let forgets = self.flaw == Flaw::ForgetsNamespaces;
        Ok(forgets.then(|| Arc::new(self.clone()) as Arc<dyn Backend>))
    }
}
