//! What the facade promises beside the parts that it joins: which names are found where.

mod names;
