#!/usr/bin/perl
#
# demo/load.pl DIR: reads a Debian package index from standard input and writes
# DIR/packages.copy and DIR/depends.copy, for COPY into the tables of schema.sql.
#
# perl-base is on every Debian, so this needs nothing to be installed.
use strict;
use warnings;

my ($dir) = @ARGV;
open(my $packages, '>', "$dir/packages.copy") or die "$dir/packages.copy: $!\n";
open(my $depends, '>', "$dir/depends.copy") or die "$dir/depends.copy: $!\n";

# A line as COPY's text format has it; undefined is NULL.
sub copy_line
{
	my %escaped = ("\\" => "\\\\", "\t" => "\\t", "\n" => "\\n", "\r" => "\\r");

	return join("\t",
		map { defined $_ ? s/([\\\t\n\r])/$escaped{$1}/gr : '\N' } @_) . "\n";
}

my %seen;
local $/ = '';					# stanzas are separated by empty lines
while (my $stanza = <STDIN>)
{
	my %field = $stanza =~ /^([\w-]+):[ \t]*(.*(?:\n[ \t].*)*)/mg;
	my $name = $field{Package};

	# An index may have several versions and architectures; one will do.
	next if !defined $name or $seen{$name}++;
	my ($summary) = split(/\n/, $field{Description} // '');
	print $packages copy_line($name, $field{Version}, $field{Section},
		$field{Priority}, $field{Maintainer}, $field{Homepage},
		$field{'Installed-Size'}, $field{Size}, $summary);

	# Depends: libc6 (>= 2.34), default-mta | mail-transport-agent
	my %target;
	my $position = 0;
	for my $kind ('Pre-Depends', 'Depends')
	{
		for my $choice (split(/\s*,\s*/, $field{$kind} // ''))
		{
			my $alternative = 0;
			$position++;
			for my $wanted (split(/\s*\|\s*/, $choice))
			{
				my ($needed, $version) =
				  $wanted =~ /^([^\s:(]+)\S*(?:\s*\((.*?)\))?/
				  or next;
				$alternative++;
				print $depends copy_line($name, $needed, $position, $alternative,
					$kind, $version)
				  unless $target{$needed}++;
			}
		}
	}
}
close($packages) or die "$dir/packages.copy: $!\n";
close($depends) or die "$dir/depends.copy: $!\n";
