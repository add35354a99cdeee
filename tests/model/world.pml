/* ---- Messages that were delivered too often, run by some node. The end of any step may be its last. ---- */

#ifdef NO_SWEEP
#define EXHAUSTED(k) (present[k] && exhausted[k] && advisory[k])    /* Told only, never looked for. */
#else
#define EXHAUSTED(k) (present[k] && exhausted[k])
#endif
#define MAY_CRASH if :: crashes < CRASHES -> crashes++; goto again :: skip fi

proctype Exhausted() {
    byte k;
end_exhausted:
    do
    :: atomic { ANY(EXHAUSTED) -> PICK(k, EXHAUSTED) };
#ifdef DROP_FIRST
        atomic { server_remove(k) };
#endif
        if
        :: !FINISHED(k) ->
#ifndef LETTER_LAST
            letter[k] = true;
            MAY_CRASH;
#endif
            atomic { server_create(k, dead, NODES) };
            MAY_CRASH
#ifdef LETTER_LAST
            ; letter[k] = true
#endif
        :: else
        fi;
        atomic { server_remove(k) };
again:  k = 0
    od
}

/* ---- `nats gc`: looks, and deletes later. ---- */

/* A live claim is a key without result. A result never changes: what is garbage once its key has one stays garbage, however
 * long ago it was looked at. */
#if defined(GC_IGNORES_CLAIMS)
#define GARBAGE(k, c) (store[ADDRESS(k, c)] && !NAMED(k, c))
#elif defined(SHARED_ADDRESS)
#define UNUSED(k, c) (!published[k] || (FINISHED(k) && !NAMED(k, c)))
#define GARBAGE(k, c) (store[ADDRESS(k, c)] && UNUSED(0, c) && UNUSED(1, c))
#else
#define GARBAGE(k, c) (store[ADDRESS(k, c)] && FINISHED(k) && !NAMED(k, c))
#endif
#if KEYS > 1
#define NAMES(a) (NAMED(0, (a) - ADDRESS(0, 0)) || NAMED(1, (a) - ADDRESS(1, 0)))
#else
#define NAMES(a) NAMED(0, a)
#endif

proctype Gc() {
    byte a;
end_gc:
    do
    :: atomic { if
        :: GARBAGE(0, 0) -> a = ADDRESS(0, 0)
        :: GARBAGE(0, 1) -> a = ADDRESS(0, 1)
#if KEYS > 1
        :: GARBAGE(1, 0) -> a = ADDRESS(1, 0)
        :: GARBAGE(1, 1) -> a = ADDRESS(1, 1)
#endif
        fi };
        atomic { store[a] = false; HOLDS(artifacts_in_store, !NAMES(a)); a = 0 }
    od
}

/* ---- A dead letter is handed in again: first into the queue, under the next epoch, then out of the letters. ---- */

#ifdef SAME_EPOCH
#define NEXT_EPOCH 0
#else
#define NEXT_EPOCH 1
#endif
#if KEYS > 1 && SUBMITTED == 1
proctype Replay() {
end_replay:
    do
    :: letter[0] && result[0] == dead ->
#ifndef LETTER_DROPPED_FIRST
        atomic { server_publish(NEXT_EPOCH, 1) };
        MAY_CRASH;
#endif
        atomic { letter[0] = false; HOLDS(letter_kept, published[NEXT_EPOCH]) };
#ifdef LETTER_DROPPED_FIRST
        atomic { server_publish(NEXT_EPOCH, 1) };
#endif
again:  skip
    od
}
#endif

/* ---- Everything else: time, redelivery, writes that come late, directors, crashes. ---- */

#define MAY_EXPIRE(i, k) (OPEN(i, k) && held[i] != k)
#ifdef CLOCK
#define TIMER_FIRES(k) (pending[k] && timer[k] >= ACK_WAIT)
#define OLDER(counter, end) if :: counter < end -> counter++ :: else fi
#define RUNNING(i) (age[i] < OLD || sent[i] < OLD)
#else
#define TIMER_FIRES(k) pending[k]
#endif

inline arrive(i) {
    if
    :: late[i] == progress -> server_progress(late_key[i])
    :: late[i] == put -> server_put(late_key[i], i)
    :: late[i] == create_completed -> server_create(late_key[i], completed, i)
    :: late[i] == create_cancelled -> server_create(late_key[i], cancelled, i)
    :: late[i] == create_dead -> server_create(late_key[i], dead, i)
    :: late[i] == letter_write -> letter[late_key[i]] = true
    :: late[i] == ack -> server_remove(late_key[i])
    :: skip             /* It never arrives. */
    fi;
    late[i] = none; late_key[i] = 0
}

#define NODE_EVENTS(i) \
    :: atomic { late[i] != none -> arrive(i) }

/* A record without a claim ends by another's result, or expires. */
#ifdef CLOCK
#define RECORD_EVENTS(i, k)
#else
#define RECORD_EVENTS(i, k) \
    :: atomic { MAY_EXPIRE(i, k) && FINISHED(k) -> end_record(i, k) } \
    :: atomic { MAY_EXPIRE(i, k) -> RECORD(i, k) = expired }
#endif

#define KEY_EVENTS(k) \
    :: atomic { TIMER_FIRES(k) -> redeliver(k) } \
    :: atomic { published[k] && cancels < CANCELS && !marked[k] -> cancels++; marked[k] = true } \
    :: atomic { published[k] && !present[k] && again < RESUBMITTED -> again++; server_publish(k, hand_in[k]) } \
    RECORD_EVENTS(0, k) \
    RECORD_EVENTS(1, k)

#define AT_END(k) \
    HOLDS(every_slot_ends, !published[k] || (accepted[k] > 0 && !present[k])); \
    HOLDS(every_record_ends, !OPEN(0, k) && !OPEN(1, k))

proctype World() {
    byte cancels, again;
end_world:
    do
    NODE_EVENTS(0)
    NODE_EVENTS(1)
    KEY_EVENTS(0)
#if KEYS > 1
    KEY_EVENTS(1)
#if SUBMITTED == 1
    :: atomic { EPOCH_RAISED && !published[1] -> server_publish(1, 1) }
#endif
#endif
#ifdef RESULTS_EXPIRE
    :: atomic { result[0] != none && !present[0] -> result[0] = none }
#endif
#ifdef LAZY_SYNC
    :: atomic { FINISHED(0) && !synced[0] -> synced[0] = true }
#endif
#ifdef CLOCK
    :: d_step { (pending[0] && timer[0] < ACK_WAIT) || RUNNING(0) || RUNNING(1) ->
        if :: pending[0] && timer[0] < ACK_WAIT -> timer[0]++ :: else fi;
        OLDER(age[0], OLD); OLDER(sent[0], OLD);
        OLDER(age[1], OLD); OLDER(sent[1], OLD) }
#ifdef CLOCK_STOPS_IN_SLEEP
    :: d_step { pending[0] && timer[0] < ACK_WAIT -> timer[0]++; OLDER(age[1], OLD); OLDER(sent[1], OLD) }
#endif
#endif
#ifndef CLOCK
    :: timeout ->
        AT_END(0);
#if KEYS > 1
        AT_END(1);
#endif
        break
#endif
    od
}
