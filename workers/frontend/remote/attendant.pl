#!/usr/bin/perl
# The attendant: the commands of a deployment, one after the other over one channel, in one process where the script
# above starts some twenty for each (docs/frontend.md, "The attendant"). It has the script's rules, order of things and
# answers, and leaves the same tree; what it does not know, and where there is no perl, the script does. Whoever changes
# one of the two changes both: the tests of the script run against both.
#
# It says `READY <SHA-256 of this file>`, and then reads lines `BYTES SECONDS COMMAND WORD...`: so many bytes of input
# follow, and an armed frontend waits for so long. Where the input ends, or is no such line, it ends, with the exit code
# that the script would have had last. Modules take longer to load than most commands to run: it has none but strict.
use strict;

my ($root) = @ARGV;
my $sha256 = qr/[0-9a-f]{64}/;
my $app = qr/[A-Za-z][A-Za-z0-9_-]{0,62}/;
my $release = qr{$app/$sha256};
my $number = qr/(?:0|[1-9][0-9]{0,9})/;
my $activation = qr/$number-[0-9a-f]{16}/;
my $odd = qr/[\\\x00-\x1f\x7f]/;
my $empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
# Of flock and errno: the names for them are in modules.
my ($alone, $at_once) = (2, 4);
my ($not_there, $interrupted, $not_possible, $unknown_call) = (2, 4, 22, 38);

# --- answers ---

sub send_out {
    my ($text) = @_;
    for (my $done = 0; $done < length $text; ) {
        my $more = syswrite STDOUT, $text, length($text) - $done, $done;
        # Nobody reads it: what is done is done, and the end of the input will be seen.
        return if !defined $more && $! != $interrupted;
        $done += $more || 0;
    }
}
sub refuse { die { exit => 10, says => "REFUSED $_[0] $_[1]" } }
# A full disk has its own code, because its remedy is another one.
sub fail {
    my ($why, $text) = @_;
    $why = "space" if $text =~ /No space left|quota exceeded/;
    $text =~ tr/ -~/ /c;
    die { exit => 11, says => sprintf "FAILED %s %.300s", $why, $text };
}
sub failed { fail("io", "$_[0]: $!") }
sub wrong { fail("pack", $_[0] || "a member of the pack is not what may come here") }

# --- the system, where perl has no word for it ---

# By the machine that this perl was built for, as its own ELF header tells.
my ($clock_gettime, $fsync, $syncfs, $copy_file_range, $statfs) = do {
    my $head = "";
    if (open my $self, "<", "/proc/self/exe") { read $self, $head, 20 }
    my ($class, $machine) = length $head == 20 ? unpack "x4 C x13 v", $head : (0, 0);
    @{$class == 2 && { 62 => [228, 74, 306, 326, 137], 183 => [113, 82, 267, 285, 43] }->{$machine} || []};
};

# In seconds; 0 where nothing here can tell fractions.
my $other_clock = !$clock_gettime && eval { require Time::HiRes; \&Time::HiRes::time };
sub clock {
    if (!$clock_gettime) { return $other_clock ? $other_clock->() : 0 }
    my $now = "\0" x 16;
    return 0 if syscall $clock_gettime, 0, $now;
    my ($seconds, $nano) = unpack "l!2", $now;
    return $seconds + $nano / 1e9;
}

# Whether the account finds a command of this name.
sub on_path {
    my ($name) = @_;
    return grep { -x "$_/$name" } split /:/, $ENV{PATH} // "";
}

# Bytes for whom is not root.
sub free_space {
    my ($path) = @_;
    my $found = "\0" x 120;
    if ($statfs && syscall($statfs, $path, $found) == 0) {
        my ($blocks, $size) = unpack "x32 Q x32 Q", $found;
        return $blocks * $size;
    }
    my $pipe = output_of("/", "/dev/null", "stat", "-f", "-c", "%a %S", $path);
    my ($blocks, $size) = (<$pipe> // "") =~ /^([0-9]+) ([0-9]+)$/ or fail("io", "the free space is unknown");
    close $pipe;
    return $blocks * $size;
}

# run WORDS...: whether the command ended well. It has no part in what is said here.
sub run {
    my $child = fork // return;
    if (!$child) {
        open STDIN, "<", "/dev/null";
        open STDOUT, ">", "/dev/null";
        exec { $_[0] } @_ or exit 127;
    }
    waitpid $child, 0;
    return $? == 0;
}

# To the disk: this path, or with `$all` the file system that it is on.
sub flush {
    my ($path, $all) = @_;
    my $call = $all ? $syncfs : $fsync;
    my $handle;
    if ($call && open $handle, "<", $path) {
        return if syscall($call, fileno $handle) == 0;
        # What could not be written will not be by asking again.
        fail("io", "sync: $!") if $! != $unknown_call && $! != $not_possible;
    }
    run("sync", $all ? "-f" : (), $path) or run("sync") or fail("io", "sync failed");
}

# output_of DIRECTORY ERRORS WORDS...: a handle on what the command says; its errors go to a file, or to the same place.
sub output_of {
    my ($directory, $errors, @words) = @_;
    my $child = open(my $pipe, "-|") // failed("fork");
    if (!$child) {
        if ($errors) { open STDERR, ">", $errors }
        else { open STDERR, ">&", \*STDOUT }
        open STDIN, "<", "/dev/null";
        chdir $directory and exec { $words[0] } @words or exit 127;
    }
    return $pipe;
}

# Of a text, given by reference, or of a handle from where it stands.
sub sha256_of {
    my ($from) = @_;
    my $is_text = ref $from eq "SCALAR";
    pipe my $end, my $text or failed("pipe");
    my $child = open(my $pipe, "-|") // failed("fork");
    if (!$child) {
        open STDIN, "<&", $is_text ? $end : $from;
        close $text;
        exec "sha256sum" or exit 127;
    }
    close $end;
    if ($is_text) { print {$text} $$from }
    close $text;
    my ($sum) = (<$pipe> // "") =~ /^($sha256) /;
    close $pipe;
    return $sum // fail("io", "sha256sum can not be run");
}

# hashes DIRECTORY FILE...: path -> SHA-256, of those that could be read, and what was said of the others. openssl uses
# what processors have for it, coreutils may be built without: a sixth of the time. None, or one that does not work, has
# said nothing that counts.
my $told = qr{^$sha256 [ *]\./.};
sub hashes {
    my ($directory, @files) = @_;
    my (%sums, @said);
    for my $hasher (["openssl", "dgst", "-sha256", "-r"], ["sha256sum", "--"]) {
        my @left = grep { !exists $sums{$_} } @files or last;
        @said = ();
        while (@left) {
            # The system has a limit for all words together.
            my ($length, @some) = (0);
            while (@left && $length < 100000) { push @some, "./" . shift @left; $length += length $some[-1] }
            my $pipe = output_of($directory, "", @$hasher, @some);
            while (defined(my $line = <$pipe>)) {
                if ($line =~ $told && chomp $line) { $sums{substr $line, 68} = substr $line, 0, 64 }
                else { push @said, $line }
            }
            close $pipe;
        }
    }
    return \%sums, "@said";
}

# --- what comes ---

my ($input, $left) = ("", 0);
# more: whether anything came; with a limit in seconds, before that is over.
sub more {
    my ($seconds) = @_;
    if (defined $seconds) {
        vec(my $ready = "", 0, 1) = 1;
        return if select($ready, undef, undef, $seconds) <= 0;
    }
    return sysread STDIN, $input, 262144, length $input;
}
# body SIZE: so many of the bytes that belong to this command, fewer only where they end.
sub body {
    my ($size) = @_;
    $size = $left if $size > $left;
    while (length $input < $size) { more() or die { gone => 1 } }
    $left -= $size;
    return substr $input, 0, $size, "";
}
sub whole_body {
    my $body = "";
    $body .= body(262144) while $left;
    return $body;
}
# Past perl's buffer: what can't be written from there is complained of on standard error.
sub put {
    my ($file, $piece, $name) = @_;
    for (my $done = 0; $done < length $piece; ) {
        $done += syswrite($file, $piece, length($piece) - $done, $done) // failed("write $name");
    }
}
sub spool {
    my ($path) = @_;
    open my $file, ">", $path or failed("open $path");
    while ($left) { put($file, body(262144), "the pack") }
    close $file or failed("write");
}

# --- words ---

sub words { @{$_[1]} == $_[0] or refuse("words", "$_[2] takes $_[0] words, " . @{$_[1]} . " were given") }

our ($act, $epoch);
sub name_activation {
    $_[0] =~ /^$activation\z/ or refuse("words", "not an activation: <epoch>-<16 hex digits> was expected");
    ($act, $epoch) = ($_[0], epoch_of($_[0]));
}

# --- state ---

our ($fence, $current, $lock, $scratch);
sub has_tree { return -f "$root/state/fence" && -l "$root/current" }

sub lock_tree {
    -w "$root/state/lock" && open($lock, ">>", "$root/state/lock")
        or fail("state", "state/lock is missing or may not be written");
    my $wait = $ENV{LOCKSTEP_LOCK_WAIT} // 5;
    $wait = 5 if $wait !~ /^[0-9]{1,3}\z/;
    for (my $tries = 10 * $wait; !flock $lock, $alone | $at_once; $tries--) {
        $tries > 0 or refuse("busy", "another command holds the lock of this frontend");
        select undef, undef, undef, 0.1;
    }
}

sub first_line {
    my ($path) = @_;
    open my $file, "<", $path or return "";
    my $line = <$file> // "";
    chomp $line;
    return $line;
}
sub read_number {
    my $line = first_line("$root/state/$_[0]");
    return $line =~ /^$number\z/ ? $line : undef;
}
sub read_fence { $fence = read_number("fence") // fail("state", "state/fence does not hold an epoch") }
sub read_current {
    my $target = readlink "$root/current" // fail("state", "current is not a link");
    ($current) = $target =~ m{^(?:activations/)?($activation)\z}
        or fail("state", "current does not link to an activation");
}
sub epoch_of { return (split /-/, $_[0])[0] }

sub above_fence { read_fence(); $epoch > $fence or refuse("fenced", "epoch $epoch is not above the fence $fence") }
sub stageable { read_fence(); read_current(); $act eq $current && $epoch != 0 or above_fence() }
sub staged { -d "$root/activations/$act" or refuse("unstaged", "activation $act is not there") }

sub names {
    my ($directory) = @_;
    opendir my $handle, $directory or return;
    return sort grep { $_ ne "." && $_ ne ".." } readdir $handle;
}
# The same where one that is not seen would do harm.
sub all_names {
    my ($directory) = @_;
    opendir my $handle, $directory or fail("state", "$directory can not be read: $!");
    $! = 0;
    my @names = readdir $handle;
    fail("state", "$directory can not be read: $!") if $!;
    return grep { $_ ne "." && $_ ne ".." } @names;
}

sub write_number {
    my ($name, $value) = @_;
    my $path = "$root/state/$name";
    my $file;
    my $written = open($file, ">", "$path.new") && print({$file} "$value\n") && close $file;
    $written or fail("state", "write $name: $!");
    flush("$path.new");
    rename "$path.new", $path or fail("state", "rename $name: $!");
}

sub remove_up_to {
    my ($limit, $directory, $prefix) = @_;
    for my $name (all_names($directory)) {
        next if $name !~ /^\Q$prefix\E($activation)\z/ || epoch_of($1) > $limit;
        unlink "$directory/$name" or $! == $not_there or failed("rm $name");
    }
}

# The links go first and the fence comes after: see the script.
sub raise_fence {
    remove_up_to($epoch, "$root/state", "armed-");
    if ($epoch > $fence) { write_number("fence", $epoch); $fence = $epoch }
    flush("$root/state");
}

# --- init ---

sub make_directory {
    my ($path) = @_;
    return if -d $path;
    length $path or fail("io", "there is no directory to begin with");
    make_directory($path =~ s{/[^/]*\z}{}r);
    return if mkdir $path;
    my $why = $!;
    # Somebody else may have made it.
    -d $path or fail("io", "mkdir $path: $why");
}

# What the script's commands start; the attendant itself does with fewer.
my @tools = qw(awk find flock gzip readlink sha256sum stat sync tar timeout xargs);
sub init {
    words(0, \@_, "init");
    for (@tools) { on_path($_) or fail("state", "$_ is not installed, or not on the PATH of this account") }
    make_directory("$root/$_") for qw(objects releases activations by-hash ahead packs incoming state);
    chmod 0700, "$root/incoming" or failed("chmod incoming");
    open my $made, ">>", "$root/state/lock" or failed("open state/lock");
    lock_tree();
    if (!-l "$root/current") {
        !-e "$root/current" or fail("state", "current is there and is not a link");
        my $none = "activations/0-0000000000000000";
        make_directory("$root/$none");
        unlink "$root/state/next";
        symlink $none, "$root/state/next" or failed("symlink state/next");
        rename "$root/state/next", "$root/current" or failed("rename state/next");
    }
    if (!defined read_number("fence")) {
        # One that got lost may not come back lower than anything that is here.
        my $target = readlink "$root/current" // failed("readlink current");
        my @there = map { /^($number)(?:-|\z)/ } $target =~ s{^activations/}{}r;
        push @there, map { epoch_of($_) } grep { /^$activation\z/ } all_names("$root/activations");
        my ($highest) = sort { $b <=> $a } 0, @there;
        write_number("fence", $highest);
    }
    read_current();
    flush($_) for $root, "$root/state";
    return;
}

# --- scratch ---

# Directories in it may be read-only; files must keep their mode, they share it with objects.
sub clear {
    my ($path) = @_;
    if (-d $path && !-l $path) {
        chmod 0755, $path if !-w $path;
        clear("$path/$_") for names($path);
        return rmdir $path;
    }
    return unlink $path;
}

# As the script's: what killed commands left is not locked.
sub sweep {
    for my $name (names("$root/incoming")) {
        my $stale = "$root/incoming/$name";
        my $handle;
        clear($stale) if -d $stale && open($handle, "<", $stale) && flock $handle, $alone | $at_once;
    }
}

our $living;
my $scratches = 0;
sub make_scratch {
    lock_tree();
    sweep();
    # What a command before this one could not remove has another name.
    my $name = "$act.$$." . ++$scratches;
    mkdir "$root/incoming/$name" or failed("mkdir $name");
    $scratch = "$root/incoming/$name";
    # What is started here goes on holding it.
    local $^F = 1000;
    open($living, "<", $scratch) && flock $living, $alone | $at_once or fail("io", "$scratch can't be locked");
    close $lock;
}

# --- packs ---

# A tar, block by block: `$take` gives so many bytes, or fewer where there are no more; `$copy` writes so many of them to
# a file, and says how many it has. `$most` is how many may still come, where that is known.
our ($take, $copy, $most);
sub copy_taken {
    my ($file, $size, $name) = @_;
    my $done = 0;
    while (my $more = $size - $done) {
        my $piece = $take->($more > 262144 ? 262144 : $more);
        put($file, $piece, $name);
        $done += length $piece || last;
    }
    return $done;
}
sub block {
    wrong() if defined $most && ($most -= 512) < 0;
    my $block = $take->(512);
    length $block == 512 or wrong();
    return $block;
}
sub long {
    my ($size) = @_;
    wrong() if $size > 8192;
    my $long = "";
    $long .= block() while length $long < $size;
    return unpack "Z*", substr $long, 0, $size;
}
sub number {
    return 0 if $_[0] eq "00000000000\0";
    $_[0] =~ /^[ 0]*([0-7]{0,11})[\0 ]*\z/ or wrong();
    return oct($1 || 0);
}
# Name, type, target, size in bytes, time in seconds; nothing at the end.
sub member {
    my ($long_name, $long_link);
    while ((my $head = block()) ne "\0" x 512) {
        my ($name, $size, $time, $sum, $type, $link) = unpack "a100 x24 a12 a12 a8 a a100", $head;
        number($sum) == unpack("%32C148", $head) + 256 + unpack("x156 %32C*", $head) or wrong();
        $size = number($size);
        if ($type eq "L") { $long_name = long($size); next }
        if ($type eq "K") { $long_link = long($size); next }
        $_ = unpack "Z*", $_ for $name, $link;
        return ($long_name // $name, $type, $long_link // $link, $size, number($time));
    }
    return;
}

# In large pieces, past perl's own buffer, which has only some kilobytes.
sub taking {
    my ($handle) = @_;
    my $ahead = "";
    return sub {
        my ($size) = @_;
        while (length $ahead < $size) { sysread($handle, $ahead, 262144, length $ahead) // failed("read") or last }
        return substr $ahead, 0, $size, "";
    };
}
# `$take` and `$copy`. From a file to a file the system copies by itself, where it can: once, where reading and writing
# copy twice.
sub from_file {
    my ($handle) = @_;
    my $read = sub {
        my ($size) = @_;
        my $bytes = "";
        sysread($handle, $bytes, $size) // failed("read");
        return $bytes;
    };
    my $copies = sub {
        my ($file, $size, $name) = @_;
        my $done = 0;
        while ($copy_file_range && $done < $size) {
            my $more = syscall $copy_file_range, fileno $handle, 0, fileno $file, 0, $size - $done, 0;
            last if $more <= 0;
            $done += $more;
        }
        return $done + copy_taken($file, $size - $done, $name);
    };
    return ($read, $copies);
}
# The rest of it, so that whoever sends it ends well. It is no more than was said either.
sub end_of {
    while (my $more = length $take->(262144)) { wrong() if defined $most && ($most -= $more) < 0 }
}
sub unzipped { return output_of($scratch, "/dev/null", "gzip", "-dc", $_[0]) }

# --- receive ---

# The words of `receive`: the form of the pack, the name under which it is kept, and where it is fetched.
sub name_pack {
    my ($pack) = @_;
    return ($pack, "") if $pack =~ /^(?:tar|tgz)\z/;
    $pack =~ /^[0-9a-f]{32}\.(tar|tgz)\z/ or refuse("words", "not a pack: <32 hex digits>.tar or .tgz was expected");
    return ($1, $pack);
}
sub name_source {
    my ($size, $whole, $host, $url) = @_;
    for ($size, $whole) { /^[1-9][0-9]{0,10}\z/ or refuse("words", "not a size: a number of bytes was expected") }
    $host =~ /^(?:-|[A-Za-z0-9.:_][A-Za-z0-9.:_-]*)\z/
        or refuse("words", "not a host: a name, or - for that of the URL");
    $url =~ m{^[][A-Za-z0-9.:/_~%-]*\z} or refuse("words", "a character of the URL is not allowed");
    $url =~ m{^https?://.} or refuse("words", "not a URL: http:// or https:// was expected");
    return { size => $size, whole => $whole, host => $host, url => $url };
}

# curl writes the file itself: to be told in a pipe what it got costs a copy more. Whatever another frontend sends, it is
# no more than was said: beyond that, the system lets nothing be written.
sub fetch {
    my ($source, $path) = @_;
    my ($size, @host) = $source->{size};
    @host = ("--header", "Host: $source->{host}") if $source->{host} ne "-";
    on_path("curl") or fail("nocurl", "curl is not installed, or not on the PATH of this account");
    local $SIG{XFSZ} = "IGNORE";
    my $pipe = output_of($scratch, "$scratch/said", "sh", "-c", 'ulimit -f "$0" && exec curl "$@"',
        int(($size + 511) / 512), "-q", @host,
        "--proto", "=http,https", qw(--fail --silent --show-error --globoff --noproxy *),
        qw(--connect-timeout 3 --speed-limit 100000 --speed-time 10),
        "--max-time", int($size / 1000000) + 15, "--output", $path, $source->{url});
    my $sent = close $pipe;
    my $got = -s $path || 0;
    my $exit = $? >> 8;
    fail("peer", "it is longer than it should be") if $got > $size || !$sent && $got == $size;
    # What it could not write is not the sender's fault.
    fail($exit == 23 ? "space" : "peer", first_line("$scratch/said") || "curl: exit status $exit") if !$sent;
    $got == $size or fail("peer", "it is not as long as it should be");
}

sub take_in {
    my %there;
    while (my ($sha, $type, undef, $size, $time) = member()) {
        wrong() if $type !~ /^[0\0]\z/ || $sha !~ /^$sha256\z/;
        wrong("the time of an object is not that of its name: $sha") if $time != hex(substr $sha, 0, 8) >> 2;
        my $path = "$scratch/objects/$sha";
        my $padded = $size + -$size % 512;
        wrong() if $there{$sha}++ || defined $most && ($most -= $padded) < 0;
        open my $object, ">", $path or failed("open $sha");
        $copy->($object, $size, $sha) == $size or wrong();
        length $take->($padded - $size) == $padded - $size or wrong();
        chmod 0444, $object or failed("chmod $sha");
        utime $time, $time, $object or failed("utime $sha");
        close $object or failed("close $sha");
    }
    end_of();
}

# The pack's objects into the scratch, the pack itself as well where others are to have it.
sub bring {
    my ($form, $kept, $source) = @_;
    my $path = "$scratch/pack.$form";
    ($most, my $code) = $source ? ($source->{whole}, "peer") : (undef, "pack");
    my $as_it_comes = !$source && !$kept && $form eq "tar";
    if ($source) { fetch($source, $path) }
    elsif (!$as_it_comes) { spool($path) }
    my $pack;
    if ($as_it_comes) { ($take, $copy) = (\&body, \&copy_taken) }
    elsif ($form eq "tgz") { ($take, $copy) = (taking($pack = unzipped($path)), \&copy_taken) }
    else { open $pack, "<", $path or failed("open"); ($take, $copy) = from_file($pack) }
    my $took = eval { take_in(); 1 };
    my $why = $@;
    fail($code, "the pack can not be read") if $pack && !close $pack && $took;
    if (!$took) {
        $why->{says} =~ s/^FAILED pack /FAILED $code / if ref $why && $why->{says};
        die $why;
    }
    unlink $path if !$kept;
}

sub write_contents {
    my ($path, @objects) = @_;
    open my $file, ">", $path or failed("open");
    put($file, join("\n", $act, @objects), "the contents");
    close $file or failed("write");
    return "../contents";
}

sub has_object { return -s "$root/objects/$_[0]" || $_[0] eq $empty && -f "$root/objects/$_[0]" }

sub receive {
    my @words = @_;
    @words == 1 || @words == 2 || @words == 6 or words(2, \@words, "receive");
    name_activation($words[0]);
    my ($form, $kept) = @words > 1 ? name_pack($words[1]) : ("tgz", "");
    my $source = @words == 6 && name_source(@words[2 .. 5]);
    stageable();
    make_scratch();
    mkdir "$scratch/objects" or failed("mkdir");
    bring($form, $kept, $source);
    my @objects = names("$scratch/objects");
    return if !@objects && !$source;
    # The name of what was fetched is made of what is in it (workers/distribution/peers.py, `pack_name`).
    my @contents = $source ? write_contents("$scratch/contents", @objects) : ();
    my ($sums) = hashes("$scratch/objects", @contents, @objects);
    if ($source) {
        my ($name) = $source->{url} =~ m{([^/.]*)[^/]*\z};
        length $name && index($sums->{$contents[0]} // "", $name) == 0
            or fail("peer", "it is not the pack that was asked for");
        return if !@objects;
    }
    my ($wrong) = grep { ($sums->{$_} // "") ne $_ } @objects;
    fail("hash", "an object's content does not match its name: $wrong") if defined $wrong;
    # Content first, its name after: a crash must not leave an empty object under a good name.
    flush("$scratch/objects", 1);
    lock_tree();
    stageable();
    # Under the lock: whoever disarms this epoch, and removes its packs, was here before or comes after.
    if ($kept && $act ne $current) {
        mkdir "$root/packs";
        rename "$scratch/pack.$form", "$root/packs/$kept" or failed("keep the pack");
    }
    # One that is there stays: its links must share one inode, so that discard can tell who uses it.
    for my $sha (grep { !has_object($_) } @objects) {
        rename "$scratch/objects/$sha", "$root/objects/$sha" or failed("rename $sha");
    }
    return;
}

# --- assemble ---

our (%files, %links, %seen);
sub check_path {
    my ($path) = @_;
    wrong() if $path =~ $odd || "/$path/" =~ m{/\.{0,2}/} || $seen{$path}++;
}
# What the pack makes, by tree: paths to objects in `files`, to targets in `links`.
my $tree = qr{releases/$release};
my $linked = qr{^objects/($sha256)\z};
my $entry = qr{^tree/($tree|by-hash|activation)/(.+)\z}s;
my $leads = qr{^\.\./\.\./$tree(?:/([^/]+))?\z};
sub read_links {
    while (my ($name, $type, $link, $size) = member()) {
        wrong() if $size;
        check_path($name);
        if ($type eq "1") {
            my ($object) = $link =~ $linked or wrong();
            my ($top, $path) = $name =~ $entry or wrong();
            wrong() if $top eq "by-hash" && $path !~ /^[A-Za-z0-9+_]{22}\z/;
            $files{$top}{$path} = $object;
        }
        elsif ($type eq "2") {
            my ($path) = $name =~ m{^tree/activation/([^/]+)\z} or wrong();
            $link =~ $leads or wrong();
            wrong() if defined $1 && $1 =~ /^\.{0,2}\z|$odd/;
            $links{activation}{$path} = $link;
        }
        else { wrong() }
    }
    end_of();
    wrong("the pack brings no activation") if !$files{activation} && !$links{activation};
    for my $top (keys %files, keys %links) {
        for my $path (keys %{$files{$top}}, keys %{$links{$top}}) {
            my $above = $path;
            while ($above =~ s{/[^/]*\z}{}) { wrong() if exists $files{$top}{$above} || exists $links{$top}{$above} }
        }
    }
}

sub inode { my @found = lstat $_[0]; return @found ? "$found[0]:$found[1]" : "" }
sub directory { return -d $_[0] && !-l $_[0] }
our ($names, %inodes);
sub object_inode { return $inodes{$_[0]} //= -f "$root/objects/$_[0]" ? inode("$root/objects/$_[0]") : "" }
# What is there and is a link to the same stays. A name is replaced by one rename.
sub look_up {
    my ($name, $sha) = @_;
    my $object = "$root/objects/$sha";
    my $wanted = object_inode($sha);
    return if length $wanted && inode($name) eq $wanted;
    return if link $object, $name;
    my $new = "$scratch/" . $names++;
    link $object, $new or failed("link $object");
    rename $new, $name or failed("rename $name");
}
# Every path below a tree that is no directory, with what `$tell` says of it; nothing where a directory can't be read.
sub entries {
    my ($top, $tell) = @_;
    my %found;
    my @left = ("");
    while (defined(my $below = shift @left)) {
        opendir my $handle, "$top/$below" or return;
        for my $name (readdir $handle) {
            next if $name eq "." || $name eq "..";
            my $path = "$below$name";
            my @found = lstat "$top/$path" or return;
            if (-d _ && $name !~ $odd) { push @left, "$path/" }
            else { $found{$path} = $tell->("$top/$path", $name, @found) }
        }
    }
    return \%found;
}
sub same_links {
    my ($top, $wanted) = @_;
    return 0 if !directory($top);
    my $found = entries($top, sub { -l _ ? readlink $_[0] : "$_[2]:$_[3]" }) or return 0;
    return 0 if keys %$found != keys %$wanted;
    for (keys %$wanted) { return 0 if !exists $found->{$_} || ($found->{$_} // "") ne $wanted->{$_} }
    return 1;
}
sub is_there {
    my ($old, $files, $links) = @_;
    return same_links($old, { %$links, map { $_ => object_inode($files->{$_}) } keys %$files });
}
# A tree that is new in the scratch.
sub build {
    my (undef, $files, $links) = @_;
    my ($new, %below) = ("$scratch/" . $names++);
    make_directory($new);
    for (sort keys %$files) {
        my $path = "$new/$_";
        my $parent = $path =~ s{/[^/]+\z}{}r;
        if ($parent ne $new && !$below{$parent}) {
            make_directory($parent);
            while ($parent ne $new) { $below{$parent} = 1; $parent =~ s{/[^/]+\z}{} }
        }
        link "$root/objects/$files->{$_}", $path or failed("link objects/$files->{$_}");
    }
    for (keys %$links) { symlink $links->{$_}, "$new/$_" or failed("symlink $_") }
    chmod 0555, keys %below;
    return $new;
}
# A directory that is renamed stays writable until it has been: the system asks for it. What was there is put aside;
# where it is being served, that takes it away for the time between two renames: what it served was wrong.
sub place {
    my ($new, $old) = @_;
    if (defined $new) {
        make_directory($old =~ s{/[^/]+\z}{}r);
        chmod 0755, $old if directory($old);
        if (lstat $old) { rename $old, "$scratch/" . $names++ or failed("rename $old") }
        rename $new, $old or failed("rename $new");
    }
    chmod 0555, $old or failed("chmod $old");
}

sub assemble {
    words(1, \@_, "assemble");
    name_activation($_[0]);
    stageable();
    make_scratch();
    spool("$scratch/pack.tgz");
    (local (%files, %links, %seen, %inodes), local $names) = ();
    my $pipe = unzipped("$scratch/pack.tgz");
    $take = taking($pipe);
    read_links();
    close $pipe or wrong("the pack can not be read");
    # The look-up first: a release that is there has brought its own with it. The activation last.
    my $by_hash = delete $files{"by-hash"} || {};
    my @trees = ((sort grep { $_ ne "activation" } keys %files), "activation");
    my %path = (map({ $_ => "$root/$_" } @trees), activation => "$root/activations/$act");
    my %tree = map { $_ => [$path{$_}, $files{$_} || {}, $links{$_} || {}] } @trees;
    # The lock is not for the building; somebody may come meanwhile, and what is there is seen again.
    my %new = map { $_ => build(@{$tree{$_}}) } grep { !is_there(@{$tree{$_}}) } @trees;
    lock_tree();
    stageable();
    look_up("$root/by-hash/$_", $by_hash->{$_}) for sort keys %$by_hash;
    for (@trees) {
        my $there = is_there(@{$tree{$_}});
        place($there ? undef : $new{$_} // build(@{$tree{$_}}), $path{$_});
    }
    # Above the fence, it is above what is served, and can't be armed before the lock is free.
    if ($act ne $current) { open my $mark, ">", "$root/ahead/$act" or failed("ahead/$act") }
    # A fence is never taken back, so what is armed behind it must not get lost.
    flush($root, 1);
    return;
}

# --- verify ---

# A line of the listing for each entry; what should not be there, a path that could pass for another line among it, has
# its own mark. Each content is hashed once, whatever number of names it has.
sub listing {
    my ($tree, $sums) = @_;
    my $found = entries("$root/$tree", sub {
        my ($path, $name, @stat) = @_;
        return "o ?" if $name =~ $odd;
        if (-f _) { return "f $stat[0]:$stat[1]" }
        my $target = -l _ ? readlink $path : undef;
        return defined $target && $target =~ m{^\.\./\.\./} && $target !~ $odd ? "l $target" : "o ?";
    }) or fail("io", "$tree can not be read: $!");
    my %first;
    for (sort keys %$found) {
        if ($found->{$_} =~ /^f (.+)/ && !exists $sums->{$1}) { $first{$1} //= "$tree/$_" }
    }
    my ($hashed, $said) = hashes($root, values %first);
    while (my ($inode, $path) = each %first) {
        $sums->{$inode} = $hashed->{$path} // fail("io", $said || "$path can't be read");
    }
    return sort map { my $kind = $found->{$_} =~ s/^f (.+)/f $sums->{$1}/r; "$kind $_\n" } keys %$found;
}

sub verify {
    my ($name, @releases) = @_;
    defined $name or words(1, \@_, "verify");
    name_activation($name);
    for (@releases) { /^$release\z/ or refuse("words", "not a release: <app>/<digest> was expected") }
    # All have what they need: whoever is verified was staged, as all others were.
    unlink map { "$root/packs/$_" } names("$root/packs");
    my @trees = ("activations/$act", map { "releases/$_" } @releases);
    for (@trees) { directory("$root/$_") or refuse("unstaged", "$_ is not there") }
    my (%sums, @said);
    for my $tree (@trees) {
        my @lines = listing($tree, \%sums);
        push @said, "tree $tree " . sha256_of(\join "", @lines) . " " . @lines;
    }
    return @said;
}

# --- probe ---

# The SHA-256 of the script as it lies there now: the other commands run that.
our $script;
sub installed {
    my ($mine, $there) = map { join ":", @$_[0, 1] } [stat DATA], [stat $0];
    return $script if $mine eq $there;
    open my $other, "<", $0 or fail("io", "$0 can't be read");
    return sha256_of($other);
}

sub whole_release {
    my ($name, $files) = @_;
    my $whole = 1;
    my $found = directory("$root/releases/$name")
        && entries("$root/releases/$name", sub { $whole &&= -f _ && $_[5] > 1; 1 });
    return $found && $whole && keys %$found == $files;
}

sub probe {
    words(0, \@_, "probe");
    my @wanted = split /\n/, whole_body(), -1;
    pop @wanted if @wanted && $wanted[-1] eq "";
    for (@wanted) {
        /^(?:$sha256|$release [0-9]{1,9})\z/
            or refuse("words", "a line of the input is neither a SHA-256 nor a release and its number of files");
    }
    read_fence();
    read_current();
    my $installed = installed();
    my $drained = -e "$root/state/drained" ? "yes" : "no";
    my $drain = $drained eq "yes" && read_number("drained") || 0;
    my @releases = map { my $top = $_; map { "$top/$_" } names("$root/releases/$top") } names("$root/releases");
    return (
        "script $installed", "fence $fence", "current $current", "drained $drained", "drain $drain",
        sprintf("free %.0f", free_space($root)), sprintf("clock %.6f", clock()),
        map({ "activation $_" } grep { /^$activation\z/ } names("$root/activations")),
        map({ "release $_" } grep { /^$release\z/ } @releases),
        map({ "ahead $_" } grep { /^$activation\z/ } names("$root/ahead")),
        map { "missing " . s/ .*//r } grep { !(/^(.+) (.+)/ ? whole_release($1, $2) : has_object($_)) } @wanted
    );
}

# --- arm ---

# The instant and the lingering of the word; nothing where it was no word, or none came. Nobody flips before the instant
# that the word names, which is on this clock; nor waits longer than 2 seconds for one. Then one lingers as long as the
# word says before the answer: on a machine with many frontends, what follows would keep others from flipping.
sub await {
    my ($until) = @_;
    while (1) {
        my $end;
        while (($end = index $input, "\n") < 0) {
            my $wait = $until - time;
            return if length $input > 100 || $wait <= 0 || !more($wait);
        }
        my $word = substr $input, 0, $end + 1, "";
        chop $word;
        $word =~ tr/\0//d;
        return (0, 0) if $word eq "GO $act";
        return ($1, $2 / 1000) if $word =~ /^GO \Q$act\E ([0-9]{1,10}(?:\.[0-9]{1,6})?) ([0-9]{1,4})\z/;
        return if $word ne "CLOCK";
        send_out(sprintf "CLOCK %.6f\n", clock());
    }
}
sub sleep_until {
    my $wait;
    select undef, undef, undef, $wait while ($wait = $_[0] - clock()) > 0 && $wait <= 2;
}

sub settle {
    my ($served, $name, $now) = @_;
    send_out(sprintf "ACTIVE %s %s\n", $name, $now ? sprintf("%.6f", $now) : 0);
    # From now on, says its time, it is not served any more: `prune` goes by that.
    utime undef, undef, "$root/activations/$served" if defined $served;
    flush($root);
    remove_up_to(epoch_of($name), "$root/ahead", "");
    return;
}

my @signals = qw(HUP INT PIPE TERM);
# For how long an armed frontend waits.
my $seconds;
sub arm {
    words(1, \@_, "arm");
    name_activation($_[0]);
    lock_tree();
    above_fence();
    staged();
    read_current();
    my $served = $current;
    raise_fence();
    my $link = "$root/state/armed-$act";
    symlink "activations/$act", $link or failed("symlink state/armed-$act");
    close $lock;
    # From now on every end has an answer, and the link alone decides which. After the word no signal ends it.
    my ($waiting, $ended) = (0, 0);
    @SIG{@signals} = (sub { $ended = 1; if ($waiting) { $waiting = 0; die { signal => 1 } } }) x @signals;
    my ($at, $linger) = eval {
        $waiting = 1;
        die if $ended;
        send_out("ARMED $act\n");
        my @word = await(time + $seconds);
        $waiting = 0;
        return @word;
    };
    $waiting = 0;
    @SIG{@signals} = ("IGNORE") x @signals;
    my $word = !$ended && defined $at;
    if ($word) {
        sleep_until($at);
        if (rename $link, "$root/current") {
            my $flipped = clock();
            sleep_until($flipped + $linger) if $flipped;
            return settle($served, $act, $flipped);
        }
    }
    if (unlink $link) {
        fail("io", "state/armed-$act could not be renamed over current") if $word;
        return "STOODDOWN";
    }
    fail("io", "state/armed-$act can't be removed") if -l $link;
    read_current();
    $current eq $act or refuse("fenced", "epoch $epoch was overtaken while it was armed");
    return settle($served, $act, 0);
}

# --- one after the other ---

my %commands = (
    init => \&init, probe => \&probe, receive => \&receive, assemble => \&assemble, verify => \&verify, arm => \&arm
);

# answer COMMAND WORD...: the exit code that the script would have, and the lines of its answer.
sub answer {
    my ($command, @words) = @_;
    (local ($act, $epoch, $fence, $current, $lock, $scratch, $living), local ($take, $copy, $most)) = ();
    my @said = eval {
        $command eq "init" || has_tree() or refuse("uninitialised", "there is no frontend's tree at the root");
        my $do = $commands{$command} or refuse("words", "no such command");
        $do->(@words);
    };
    my $error = $@;
    clear($scratch) if defined $scratch;
    exit 1 if ref $error && $error->{gone};
    return (0, @said, "OK") if !$error;
    return ($error->{exit}, $error->{says}) if ref $error && $error->{says};
    return (11, sprintf "FAILED io %.300s", $error =~ tr/ -~/ /cr);
}

umask 022;
chdir "/";
my $exit = 0;
$root =~ m{^/[A-Za-z0-9._/-]+\z} && "$root/" !~ m{//|/\.{1,2}/} or do {
    send_out("REFUSED words the root is not an absolute path of plain letters\n");
    exit 10;
};
seek DATA, 0, 0;
$script = sha256_of(\*DATA);
send_out("READY $script\n");
while (1) {
    @SIG{@signals} = ("DEFAULT") x @signals;
    $SIG{PIPE} = "IGNORE";
    my $end;
    while (($end = index $input, "\n") < 0) { length $input <= 200000 && more() or exit $exit }
    my $line = substr $input, 0, $end + 1, "";
    ($left, $seconds, my @words) = $line =~ /^(0|[1-9][0-9]{0,11}) (0|[1-9][0-9]{0,5})((?: [!-~]+)+)\n\z/ or do {
        send_out("REFUSED words a line is not BYTES SECONDS COMMAND WORD...\n");
        exit 10;
    };
    @words = split / /, substr $words[0], 1;
    ($exit, my @said) = answer(@words);
    # Who still sends may stop, if he likes.
    send_out(join "", map { "$_\n" } @said);
    eval { body(262144) while $left; 1 } or exit $exit;
}
__DATA__
