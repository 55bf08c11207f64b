-- Typed, one row per person; `followed_until` and `died` are known only then, and no feature may read them.
select
    cast(person_id as bigint) as person_id,
    cast(index_date as timestamp) as index_date,
    cast(age as double) as age,
    cast(male as tinyint) as male,
    cast(weight_kg as double) as weight_kg,
    cast(height_cm as double) as height_cm,
    coalesce(cast(bmi as double), cast(weight_kg as double) / pow(nullif(cast(height_cm as double), 0) / 100, 2)) as bmi,
    cast(followed_until as timestamp) as followed_until,
    cast(died as tinyint) as died
from {{ source('raw_diagnosis', 'people') }}
where person_id is not null and index_date is not null and followed_until is not null
