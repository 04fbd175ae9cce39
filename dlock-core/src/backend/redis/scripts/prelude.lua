-- What is the same in all scripts of the queue.

-- Dead waiters passed over in one call. Those behind them ask again by themselves.
local LONGEST_WALK = 64
-- A waiter: its inbox and its ttl, behind which a label may stand. One of another form, which a later build may write:
-- its inbox.
local WAITER, OTHER_WAITER = '^dl2|(%x+)|%x+|(%d+)[^|]*|$', '^dl%d+|(%x+)|'
-- What an owner has a lock as: its ttl.
local HOLDER = '^dl2|%x+|%x+|(%d+)[^|]*|%d'

-- Whether what has the lock is this owner's. The last character of the owner is the `|` before the number.
local function is_of(holder, owner)
  return type(holder) == 'string' and string.find(holder, owner, 1, true) == 1
end

