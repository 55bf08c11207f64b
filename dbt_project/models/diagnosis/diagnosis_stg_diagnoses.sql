-- Typed; whether a diagnosis is one of the events that are predicted stands beside it.
select
    cast(person_id as bigint) as person_id,
    cast(event_time as timestamp) as event_time,
    cast(diagnosis as varchar) as diagnosis,
    diagnosis in ('{{ var('diagnosis_major_events') | join("', '") }}') as is_major
from {{ source('raw_diagnosis', 'diagnoses') }}
where person_id is not null and event_time is not null and diagnosis is not null
