{#- The same compiled text runs here, over the lake, and in the service, where the spine holds the requests and
    fraud_stg_transactions the history the service keeps. So nothing here may depend on a request being in the history:
    every row of the spine is a transaction that the later ones may see, whether it is in the history or not.

    What row t may see: transactions with event_time < t (strictly: rows of the same instant do not know each other,
    so ties need no rule) and labels with label_known_at <= t. Nothing looks back further than `lookback` days.

    Speed (docs/figures/features.md): a window keeps all its rows in memory, so few columns go through each; all windows
    in one chain, without the joins at the end, ran out of memory at 18 million rows. Known frauds are few, so a join
    with them stands in for windows over all labels. -#}
{%- set day = 86400000000 -%}
{%- set windows = [1, 7, 30] -%}
{%- set lookback = 45 -%}
{%- set large = 3 %}
with asked as not materialized (
    select transaction_id, event_time, epoch_us(event_time) as moment, customer_id, terminal_id, amount
    from {{ ref('fraud_spine') }}
),

history as not materialized (
    select
        transaction_id, event_time, epoch_us(event_time) as moment, customer_id, terminal_id, amount, label,
        epoch_us(label_known_at) as known_at
    from {{ ref('fraud_stg_transactions') }}
    where event_time between
        (select min(event_time) - interval {{ lookback }} days from {{ ref('fraud_spine') }})
        and (select max(event_time) from {{ ref('fraud_spine') }})
),

happened as (
    select transaction_id, moment, customer_id, terminal_id, amount from history
    union all
    select transaction_id, moment, customer_id, terminal_id, amount
    from asked
    where transaction_id not in (select transaction_id from history)
),

terminal as (
    select
        transaction_id,
        {%- for days in windows %}
        count(*) over last_{{ days }}d as count_{{ days }}d{{ ',' if not loop.last }}
        {%- endfor %}
    from happened
    where terminal_id in (select terminal_id from asked)
    window
        {%- for days in windows %}
        last_{{ days }}d as {{ before('terminal_id', days) }}{{ ',' if not loop.last }}
        {%- endfor %}
),

customer as (
    select
        transaction_id,
        customer_id,
        moment,
        {%- for days in windows %}
        count(*) over last_{{ days }}d as count_{{ days }}d,
        avg(amount) over last_{{ days }}d as mean_{{ days }}d,
        {%- endfor %}
        moment - last_value(moment) over last_30d as since_last,
        -- The geometric mean: a few stolen amounts move it far less than the mean.
        (amount + 0.01) / exp(avg(ln(greatest(amount, 0) + 0.01)) over last_30d) as over_usual
    from happened
    where customer_id in (select customer_id from asked)
    window
        {%- for days in windows %}
        last_{{ days }}d as {{ before('customer_id', days) }}{{ ',' if not loop.last }}
        {%- endfor %}
),

state as (
    select
        *,
        count(*) filter (over_usual > {{ large }}) over last_14d as large_14d,
        max(over_usual) over last_14d as largest_14d
    from customer
    window last_14d as {{ before('customer_id', 14) }}
),

known as not materialized (
    select moment, known_at, customer_id, terminal_id, label, known_at // {{ 30 * day }} as block
    from history
    where label is not null and known_at is not null
),

terminal_frauds as (
    select
        a.transaction_id,
        any_value(a.terminal_id) as terminal_id,
        any_value(a.moment) as moment,
        {%- for days in windows %}
        count(*) filter (k.known_at > a.moment - {{ days * day }}) as frauds_{{ days }}d,
        {%- endfor %}
        any_value(a.moment) - min(k.moment) as since_first,
        any_value(a.moment) - max(k.moment) as since_last
    from asked as a
    inner join known as k
        on a.terminal_id = k.terminal_id
        and k.known_at between a.moment - {{ 30 * day }} + 1 and a.moment
        and k.moment between a.moment - {{ lookback * day }} and a.moment - 1
    where k.label = 1
    group by a.transaction_id
),

terminal_risk as (
    select
        f.transaction_id,
        any_value(f.frauds_30d) as frauds_30d,
        any_value(f.since_first) as since_first,
        any_value(f.since_last) as since_last,
        {%- for days in windows %}
        any_value(f.frauds_{{ days }}d)
        / greatest(count(*) filter (k.known_at > f.moment - {{ days * day }}), 1) as risk_{{ days }}d,
        {%- endfor %}
        count(*) filter (k.label = 0 and k.moment > f.moment - f.since_last) as legitimate_since
    -- The last 30 days lie in two blocks of 30 days: an equality to join on, so that fewer pairs are looked at.
    from (select *, unnest([moment // {{ 30 * day }} - 1, moment // {{ 30 * day }}]) as block from terminal_frauds) as f
    inner join known as k
        on f.terminal_id = k.terminal_id
        and f.block = k.block
        and k.known_at between f.moment - {{ 30 * day }} + 1 and f.moment
        and k.moment between f.moment - {{ lookback * day }} and f.moment - 1
    group by f.transaction_id
),

customer_frauds as (
    select a.transaction_id, count(*) as frauds_30d
    from asked as a
    inner join known as k
        on a.customer_id = k.customer_id
        and k.known_at between a.moment - {{ 30 * day }} + 1 and a.moment
        and k.moment between a.moment - {{ lookback * day }} and a.moment - 1
    where k.label = 1
    group by a.transaction_id
)

select
    a.transaction_id,
    a.event_time,
    a.amount,
    cast(hour(a.event_time) <= 6 as tinyint) as is_night,
    cast(isodow(a.event_time) >= 6 as tinyint) as is_weekend,
    {%- for days in windows %}
    s.count_{{ days }}d as customer_count_{{ days }}d,
    s.mean_{{ days }}d as customer_mean_amount_{{ days }}d,
    {%- endfor %}
    s.since_last / {{ day / 24 }} as customer_hours_since_last,
    a.amount / nullif(s.mean_30d, 0) as amount_over_mean_30d,
    s.over_usual as amount_over_usual_30d,
    s.large_14d as customer_large_amounts_14d,
    s.largest_14d as customer_largest_ratio_14d,
    coalesce(cf.frauds_30d, 0) as customer_known_frauds_30d,
    {%- for days in windows %}
    t.count_{{ days }}d as terminal_count_{{ days }}d,
    coalesce(r.risk_{{ days }}d, 0) as terminal_risk_{{ days }}d,
    {%- endfor %}
    coalesce(r.frauds_30d, 0) as terminal_known_frauds_30d,
    r.since_first / {{ day }} as terminal_days_since_first_fraud,
    r.since_last / {{ day }} as terminal_days_since_last_fraud,
    r.legitimate_since as terminal_legitimate_since_fraud
from asked as a
inner join state as s using (transaction_id)
inner join terminal as t using (transaction_id)
left join terminal_risk as r using (transaction_id)
left join customer_frauds as cf using (transaction_id)
