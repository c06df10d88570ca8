//! Callers give the first three reasons only: the others are the pool's own.

use larder_pool::Reason;

pub fn of_callers() -> [Reason; 3] {
    [Reason::Manual, Reason::Saved, Reason::Deleted]
}

pub fn of_the_pool() -> [Reason; 4] {
    [
        Reason::Evicted,
        //~     ^^^^^^^ unit variant `Evicted` is private
        Reason::Expired,
        //~     ^^^^^^^ unit variant `Expired` is private
        Reason::Idle,
        //~     ^^^^ unit variant `Idle` is private
        Reason::Superseded,
        //~     ^^^^^^^^^^ unit variant `Superseded` is private
    ]
}

pub fn invalidated() -> Reason {
    let reason = Reason::Invalidated { position: None };
    //~          ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ cannot create non-exhaustive variant using struct expression
    reason
}
