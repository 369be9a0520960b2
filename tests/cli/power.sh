# Energy: meters found and not, budgets refused and kept, duty, files of joule power. The meter is a
# tree of files; its counter moves while the program runs.
. ./lib.sh
make_model
JOULE_SYSFS=$T/sys
export JOULE_SYSFS
mkdir -p "$T/sys"

run power
is "joule power without a meter" 0 "$rc"
grep -q "in use    no meter: this machine shows neither" "$T/out" && pass "it says no meter" || fail "it says no meter" "$(out)"
run power --json
grep -q '^{"meters": \[\], "on_ac": null' "$T/out" && pass "the same as JSON" || fail "the same as JSON" "$(out)"
exits 1 "a log without a meter" power --log "$T/log" --seconds 1
[ ! -e "$T/log" ] && pass "no log is left" || fail "no log is left"

run run --raw -m "$M" --temp 0 -n 12 -p Hello
cp "$T/out" "$T/free"
exits 1 "a budget without a meter" run --raw -m "$M" -n 4 -p Hello --power-budget 8W
grep -q "a power budget needs a meter; no meter: .*--duty" "$T/err" && pass "the reason and the way out are named" ||
    fail "the reason and the way out are named" "$(cat "$T/err")"
exits 1 "an energy target without a meter" run --raw -m "$M" -n 4 -p Hello --energy-target 0.5J
for bad in "--power-budget 0W" "--power-budget eight" "--duty 0" "--duty 200%" "--energy-target x" "--on-battery maybe" \
    "--nice 40" "--on-battery pause-below"; do
    # shellcheck disable=SC2086
    exits 2 "$bad" run --raw -m "$M" -n 4 -p Hello $bad
done
run run --raw -m "$M" --temp 0 -n 12 -p Hello --duty 50%
same "the same text at half duty" "$T/free" "$T/out"
run run --raw -m "$M" --temp 0 -n 12 -p Hello -v
grep -q "^energy no meter" "$T/err" && pass "statistics say no meter" || fail "statistics say no meter" "$(cat "$T/err")"

R=$T/sys/class/powercap/intel-rapl:0
mkdir -p "$R" "$T/sys/class/power_supply/AC" "$T/sys/class/power_supply/BAT0"
echo package-0 >"$R/name"
echo 262143328850 >"$R/max_energy_range_uj"
echo 1000000 >"$R/energy_uj"
B=$T/sys/class/power_supply
echo Mains >"$B/AC/type"
echo 0 >"$B/AC/online"
echo Battery >"$B/BAT0/type"
echo Full >"$B/BAT0/status"
echo 62 >"$B/BAT0/capacity"
(
    uj=1000000
    while [ -d "$R" ]; do
        uj=$((uj + 50000))
        echo $uj >"$R/new" && mv "$R/new" "$R/energy_uj"
        sleep 0.01
    done
) 2>/dev/null &
meter=$!

run power --seconds 1 --interval 0.25 --log "$T/log.csv" --svg "$T/power.svg"
is "joule power with a meter" 0 "$rc"
grep -q "^in use    rapl package-0 (in $T/sys)" "$T/out" && pass "the meter and its folder are named" ||
    fail "the meter and its folder are named" "$(out)"
grep -q "battery 62 %" "$T/out" && pass "so is the battery" || fail "so is the battery" "$(out)"
head -1 "$T/log.csv" | grep -q "^seconds,joules,watts,joules_per_token,temperature_c$" &&
    [ "$(wc -l <"$T/log.csv")" -ge 3 ] && pass "the log has samples" || fail "the log has samples" "$(cat "$T/log.csv")"
grep -q "</svg>" "$T/power.svg" && pass "the picture is whole" || fail "the picture is whole"
run run --raw -m "$M" --temp 0 -n 12 -p Hello
same "the same text with a meter" "$T/free" "$T/out"
grep -q "^energy .* J per generated token, .* W mean (rapl package-0" "$T/err" && pass "statistics have joules" ||
    fail "statistics have joules" "$(cat "$T/err")"
run run --raw -m "$M" --temp 0 -n 12 -p Hello --power-budget 3W --on-battery low --nice 1
same "the same text with a budget" "$T/free" "$T/out"
is "a budget with a meter" 0 "$rc"
exits 1 "a meter that is not here" run --raw -m "$M" -n 4 -p Hello --meter nvml
run bench -m "$M" -p 8 -n 4 -r 1 -o json
grep -q '"joules_per_token": [0-9]' "$T/out" && grep -q '"on_ac": false' "$T/out" && pass "bench has joules and the machine's state" ||
    fail "bench has joules and the machine's state" "$(out)"

# pauses: for the user, and of background work on battery
PATH=$T:$PATH
printf '#!/bin/sh\nexit 1\n' >"$T/busctl"
chmod +x "$T/busctl"
exits 1 "a pause for the user where the system does not say" run --raw -m "$M" -n 4 -p Hello --pause-for-user 1
printf '#!/bin/sh\n[ -e "%s/typing" ] && echo "t 100" || echo "t 60000"\n' "$T" >"$T/busctl"
touch "$T/typing"
"$J" run --raw -m "$M" --temp 0 -n 12 -p Hello --pause-for-user 5 >"$T/waited" 2>/dev/null &
asked=$!
sleep 2
[ ! -s "$T/waited" ] && pass "work waits for the user" || fail "work waits for the user" "$(cat "$T/waited")"
rm "$T/typing"
wait $asked
same "and gives the same text" "$T/free" "$T/waited"
i=0
while [ $i -lt 40 ]; do
    echo "Some words of number $i, and others that follow them."
    i=$((i + 1))
done >"$T/words"
"$J" imatrix --background -m "$M" -f "$T/words" -c 32 --chunks 3 -o "$T/imatrix" >/dev/null 2>"$T/waits" &
asked=$!
sleep 2
[ ! -e "$T/imatrix" ] && grep -q "waits: on battery" "$T/waits" && pass "background work waits on battery" ||
    fail "background work waits on battery" "$(cat "$T/waits")"
echo 1 >"$B/AC/online"
wait $asked
[ -s "$T/imatrix" ] && pass "and goes on with AC" || fail "and goes on with AC" "$(cat "$T/waits")"
kill $meter 2>/dev/null
wait $meter 2>/dev/null
finish
