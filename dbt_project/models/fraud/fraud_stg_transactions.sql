-- Typed, one row per transaction, unusable rows left out, strange ones flagged.
{% set raw = source('raw_fraud', 'transactions') %}
with typed as (
    select
        cast(transaction_id as bigint) as transaction_id,
        cast(event_time as timestamp) as event_time,
        cast(customer_id as bigint) as customer_id,
        cast(terminal_id as bigint) as terminal_id,
        -- NaN and infinity are ways to say "not known".
        case when isfinite(cast(amount as double)) then cast(amount as double) end as amount,
        cast(is_fraud as tinyint) as label,
        {{ optional_column(raw, 'label_known_at', 'timestamp') }} as label_known_at,
        {{ optional_column(raw, '_loaded_at', 'timestamp') }} as loaded_at
    from {{ raw }}
    where transaction_id is not null
        and event_time is not null
        and customer_id is not null
        and terminal_id is not null
)

select
    transaction_id,
    event_time,
    customer_id,
    terminal_id,
    amount,
    amount is null as is_amount_missing,
    coalesce(amount > {{ var('fraud_amount_outlier') }}, false) as is_amount_outlier,
    label,
    case
        when label is not null
            then coalesce(label_known_at, event_time + to_days({{ var('fraud_label_delay_days') }}))
    end as label_known_at
from typed
-- The row that was loaded last wins; the rest of the order only makes the choice the same every time.
qualify row_number() over (
    partition by transaction_id
    order by loaded_at desc nulls last, event_time, customer_id, terminal_id, amount, label, label_known_at
) = 1
