-- Typed; values that no living person has are flagged and taken for missing (a systolic pressure of 13682 is there).
{%- set bounds = {'sbp': (50, 300), 'dbp': (20, 300), 'hdl': (1, 300), 'chol': (1, 1000), 'fib4': (0, 100),
                  'smoke': (0, 1)} %}
with typed as (
    select
        cast(person_id as bigint) as person_id,
        cast(event_time as timestamp) as event_time,
        cast(test as varchar) as test,
        cast(value as double) as measured
    from {{ source('raw_diagnosis', 'measurements') }}
    where person_id is not null and event_time is not null and test is not null
),

judged as (
    select
        *,
        case
            {%- for test, (low, high) in bounds.items() %}
            when test = '{{ test }}' then coalesce(measured not between {{ low }} and {{ high }}, true)
            {%- endfor %}
            else measured is null
        end as is_strange
    from typed
)

select person_id, event_time, test, case when not is_strange then measured end as value, is_strange
from judged
