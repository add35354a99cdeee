/* ---- A node. ---- */

#ifdef NAK
#define GIVE_UP gave_up
#else
#define GIVE_UP lost
#endif
#ifdef ACK_UNSEEN
#define IF_UNANSWERED acknowledge       /* As if it were accepted. */
#else
#define IF_UNANSWERED look
#endif

/* Before any step it may crash or find its claim lost. Either way it forgets everything but its journal. */
#define MAY_STOP if :: skip :: goto lost fi

/* The look at the clock before each write. The write itself is a step of its own: any pause fits in between. */
#ifdef CLOCK
#define VALID(i) (age[i] < FENCE)
#define STILL_HOLDER(i, k, d) (!present[k] || (pending[k] && deliveries[k] == d))
#ifdef NO_FENCE
inline check(i, k, d) { skip }
#else
inline check(i, k, d) {
    atomic { if
    :: !VALID(i) -> goto GIVE_UP
    :: else -> HOLDS(one_holder, STILL_HOLDER(i, k, d))
    fi }
}
#endif
inline begun(i) {
    if
    :: age[i] >= CLAIM_END -> overdue[i]++; HOLDS(silent_after_claim, overdue[i] <= 1)
    :: else
    fi
}
#else
/* MAY_STOP says it all: the clock may give either answer at any write, and a pause after the look is one before it. */
inline check(i, k, d) { skip }
inline begun(i) { skip }
#endif

/* A write takes effect and its answer comes; or it takes effect and no answer comes; or it is still under way when its
 * sender gives up waiting. */
#ifdef NO_WINDOW
#define LOOK_AT_CLOCK(i, k) atomic { check(i, k, d);
#else
#define LOOK_AT_CLOCK(i, k) check(i, k, d); atomic {
#endif
#define WRITE(i, k, kind, effect, unanswered) \
    LOOK_AT_CLOCK(i, k) \
        MAY_STOP; \
        begun(i); \
        if \
        :: effect \
        :: faults < FAULTS -> faults++; effect; goto unanswered \
        :: faults < FAULTS && late[i] == none -> faults++; late[i] = kind; late_key[i] = k; goto unanswered \
        fi \
    }

/* The kind of a record's end is what the result says; the model keeps no more than that it ended. */
inline end_record(i, k) {
    HOLDS(record_after_result, FINISHED(k));
    RECORD(i, k) = closed
}

#ifdef LATE_CONFIRMATION
#define CONFIRMED_IN_TIME(i) true           /* A claim that was lost comes back to life. */
#else
#define CONFIRMED_IN_TIME(i) VALID(i)
#endif
#ifdef FROM_CONFIRMATION
#define COUNTS_FROM(i) 0
#else
#define COUNTS_FROM(i) sent[i]
#endif
#ifdef UNCONFIRMED
#define UNCONFIRMED_COUNTS(i) if :: sent[i] < age[i] && VALID(i) -> age[i] = sent[i] :: else fi
#else
#define UNCONFIRMED_COUNTS(i) skip
#endif

/* Progress, confirmed: it counts from when it was sent, and only if its answer comes while the claim still holds. */
#ifdef CLOCK
#define RENEW(i, k, d, n) \
    if \
    :: sent[i] = 0; \
        WRITE(i, k, progress, server_progress(k), unconfirmed_##n); \
        atomic { MAY_STOP; if :: CONFIRMED_IN_TIME(i) -> age[i] = COUNTS_FROM(i) :: else fi }; \
unconfirmed_##n: \
        atomic { UNCONFIRMED_COUNTS(i); sent[i] = OLD } \
    :: skip \
    fi
#else
#define RENEW(i, k, d, n) skip      /* Where the clock says anything, progress changes nothing. */
#endif

#ifdef CLOCK
#define FORGET(i) held[i] = NOBODY; k = 0; d = 0; age[i] = OLD; sent[i] = OLD; overdue[i] = 0
#else
#define FORGET(i) held[i] = NOBODY; k = 0; d = 0
#endif

inline take(i) {
    PICK(k, QUEUED);
    pending[k] = true;
    deliveries[k]++;
#ifdef CLOCK
    timer[k] = 0;
#endif
    d = deliveries[k];
    held[i] = k
}

proctype Node(byte i) {
    byte k, d;
        /* Pull: the claim's age counts from here, since nobody knows how long the answer has waited on its way. */
end_idle:
#ifdef CLOCK
        atomic { ANY(QUEUED) -> age[i] = 0 };
        atomic { if
        :: take(i)
        :: !ANY(QUEUED) -> goto lost
        fi };
#else
        atomic { take(i) };
#endif
        /* The local record comes first. */
        atomic {
            MAY_STOP;
#ifdef FROM_RECEIPT
            age[i] = 0;
#endif
            if :: RECORDS && RECORD(i, k) == none -> RECORD(i, k) = open :: else fi
        };
        /* Has it ended already, is it poison, is it cancelled? In one step, since each of these changes once at most and
         * compare-and-set has the last word. */
look:   atomic {
            MAY_STOP;
            if
            :: FINISHED(k) -> goto ended
            :: !FINISHED(k) && (d > POISON || RECORD(i, k) == expired) -> goto poison
            :: !FINISHED(k) && d <= POISON && RECORD(i, k) != expired && marked[k] -> goto cancel
            :: else
            fi
        };
        RENEW(i, k, d, first);
        /* Rendered. Artifacts, result, local end, acknowledgement: in this order. */
#ifdef RESULT_FIRST
        goto create;
#endif
upload: WRITE(i, k, put, server_put(k, i), upload);
        RENEW(i, k, d, second);
#ifdef ACK_FIRST
        WRITE(i, k, ack, server_remove(k), lost);
#endif
#ifdef RECORD_FIRST
        end_record(i, k);
#endif
create: WRITE(i, k, create_completed, server_create(k, completed, i), IF_UNANSWERED);
        goto look;
cancel: WRITE(i, k, create_cancelled, server_create(k, cancelled, i), look);
        goto look;
poison: WRITE(i, k, letter_write, letter[k] = true, poison);
        WRITE(i, k, create_dead, server_create(k, dead, i), look);
        goto look;
ended:  atomic {
            MAY_STOP;
            if :: RECORD(i, k) == open -> end_record(i, k) :: else fi;
#ifdef LOSER_DELETES
            if
            :: winner[k] != i ->
                store[ADDRESS(k, CONTENT(i))] = false;
                HOLDS(artifacts_in_store, !NAMED(k, CONTENT(i)))
            :: else
            fi
#endif
        };
acknowledge:
        WRITE(i, k, ack, server_remove(k), lost);
#ifdef NAK
gave_up:
        atomic { if :: present[k] && pending[k] -> redeliver(k) :: else fi };
#endif
lost:   /* Done, crashed, or the claim is lost: silence. An open record waits for redelivery or for another's result. */
        atomic { FORGET(i) };
        goto end_idle
}
