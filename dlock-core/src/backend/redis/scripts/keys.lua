-- The keys of one lock.
--
-- KEYS[1] lock    the string key itself: the owner that has the lock, and the number of its grant
-- KEYS[2] queue   sorted set of waiting owners, by server time of arrival
-- KEYS[3] counter the number of the last grant: of any lock of the server, in a cluster of the slot
-- KEYS[4] marks   sorted set of what is noted about this key, by server time in ms:
--                 <owner>  gave up without knowing what became of its requests: one may come until then
--                 |gap     the lock is left free for clients of other libraries until then
--                 |length  negative: how long that gap is
--                 |next    negative: when the next such gap may begin
-- KEYS[5] marker  only with a quarantine: which server this is, and until when it grants nothing
--
-- An owner is dl2|<inbox>|<id>|<ttl in ms>| or, with a label, dl2|<inbox>|<id>|<ttl in ms>=<label>| and what has the lock is
-- <owner><number>. The label is percent-encoded. A `!` behind the ttl says that the lock was taken away from this
-- owner: see force.lua. What other builds put behind that is left as it is. The message of a hand-off is <owner><number>|<lock>, that of a wake-up <owner>0|<lock>.

local lock, queue, counter, marks, marker = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

