-- The examples: what is to be scored, when, and what it turned out to be.
select
    transaction_id,
    event_time,
    customer_id,
    terminal_id,
    amount,
    label,
    label_known_at
from {{ ref('fraud_stg_transactions') }}
