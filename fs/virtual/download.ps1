# download.ps1 - downloads a build's files, verifies them and, if asked, loads its images.
#
#     powershell -ExecutionPolicy Bypass -File download.ps1 [-Load] [-AllowUnverified] [-List] [NAME]...
#
# The twin of download.sh, for Windows PowerShell 5.1 and newer; nothing else is needed. Files are
# saved in the current directory, all or those that are named. Run again, it goes on where it
# stopped. Its exit code is 0 only when every file is there, verified and (-Load) loaded.
#
#     -Load              load the images with docker or, where there is none, podman
#     -With docker       load them with docker (or podman)
#     -AllowUnverified   also take files whose SHA-256 is not known
#     -List              show the files and when their links expire, and do nothing
#
# UNTESTED: as far as its authors know nobody has run this script yet. Where it fails, follow the
# steps for Windows in report.html, and please tell whoever sent it to you.
#
# The system's proxy is used, as the person who runs it. Treat this script as confidential: until
# its links expire, whoever holds it can download the files.

# Without this the first NAME would be taken for -With.
[CmdletBinding(PositionalBinding = $false)]
param(
    [switch]$Load,
    [ValidateSet('', 'docker', 'podman')] [string]$With = '',
    [switch]$AllowUnverified,
    [switch]$List,
    [Parameter(Position = 0, ValueFromRemainingArguments = $true)] [string[]]$Names = @()
)

Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'

# What is told of, where it lies, and whom to ask.
$Title = ''
$Build = ''
$Server = ''
$Whom = ''
#@ facts

# Sha256 is - where it is not known. Mark tells the versions of a file apart. Kind is image, chart or
# other.
$Files = @(
    #@ files
)

# Attempts that bring no byte, in a row, after which a file is given up.
$Tries = 6
$script:Outcome = 0
$Here = (Get-Location -PSProvider FileSystem).ProviderPath

function Complain($Text) {
    Write-Host ('download.ps1: ' + $Text) -ForegroundColor Red
}

function Stop-All($Text) {
    Complain $Text
    exit 1
}

# What is wrong with one file: the others go on, and the end is not 0.
function Add-Fault($Text) {
    Complain $Text
    $script:Outcome = 1
}

function Format-Size([long]$Bytes) {
    if ($Bytes -lt 1000000) { return '{0} kB' -f [math]::Ceiling([double]$Bytes / 1000) }
    if ($Bytes -lt 10000000000) { return '{0} MB' -f [math]::Floor([double]$Bytes / 1000000) }
    return '{0} GB' -f [math]::Floor([double]$Bytes / 1000000000)
}

function Get-Size($Path) {
    if (Test-Path -LiteralPath $Path -PathType Leaf) {
        return [long](Get-Item -LiteralPath $Path -Force).Length
    }
    return [long]0
}

function Get-PartPath($File) {
    $start = $File.Name
    if ($start.Length -gt 200) { $start = $start.Substring(0, 200) }
    return Join-Path $Here ($start + '.' + $File.Mark + '.part~')
}

# Whether the file is what it has to be; says what is wrong.
function Test-File($File, $Path) {
    $size = Get-Size $Path
    if ($size -ne $File.Size) {
        Complain ('{0}: has {1} bytes, and should have {2}' -f $File.Name, $size, $File.Size)
        return $false
    }
    if ($File.Sha256 -eq '-') { return $true }
    $sum = (Get-FileHash -LiteralPath $Path -Algorithm SHA256).Hash.ToLowerInvariant()
    if ($sum -eq $File.Sha256) { return $true }
    Complain ('{0}: its SHA-256 is {1}, and should be {2}' -f $File.Name, $sum, $File.Sha256)
    return $false
}

function Get-Sureness($File) {
    if ($File.Sha256 -eq '-') { return 'NOT VERIFIED: its SHA-256 is not known' }
    return 'verified'
}

# ---- downloading ---------------------------------------------------------------------------------

# One attempt. The answer's HTTP status, '000' where there was none, 'ignored' where the rest was
# asked for and something else came.
function Receive-Rest($File, $Part) {
    $have = Get-Size $Part
    $shown = -1
    $request = $null
    $response = $null
    $source = $null
    $target = $null
    try {
        $request = [Net.WebRequest]::Create($File.Link)
        $request.Method = 'GET'
        $request.AllowAutoRedirect = $false
        $request.Timeout = 60000
        $request.ReadWriteTimeout = 60000
        if ($request.Proxy) { $request.Proxy.Credentials = [Net.CredentialCache]::DefaultCredentials }
        if ($have -gt 0) { $request.AddRange([long]$have) }
        $response = $request.GetResponse()
        $status = [int]$response.StatusCode
        if ($status -ne 200 -and $status -ne 206) { return [string]$status }
        if ($have -gt 0 -and $status -ne 206) { return 'ignored' }
        $source = $response.GetResponseStream()
        $target = New-Object IO.FileStream($Part, [IO.FileMode]::Append, [IO.FileAccess]::Write)
        $buffer = New-Object byte[] 1048576
        $count = $source.Read($buffer, 0, $buffer.Length)
        while ($count -gt 0) {
            $target.Write($buffer, 0, $count)
            $have += $count
            # Showing it takes longer than many a read.
            $percent = [int][math]::Floor([math]::Min(100.0, 100.0 * $have / $File.Size))
            if ($percent -ne $shown) {
                $shown = $percent
                Write-Progress -Activity $File.Name -Status (Format-Size $have) -PercentComplete $percent
            }
            $count = $source.Read($buffer, 0, $buffer.Length)
        }
        return [string]$status
    }
    catch {
        if ($_.Exception.GetBaseException() -is [UnauthorizedAccessException]) {
            Stop-All ('you may not save anything in {0}: run this in a directory of your own' -f $Here)
        }
        $cause = $_.Exception
        while ($cause -and -not ($cause -is [Net.WebException])) { $cause = $cause.InnerException }
        if ($cause -and $cause.Response) {
            $code = [string][int]$cause.Response.StatusCode
            $cause.Response.Close()     # a host is given two connections, and an open answer keeps one
            return $code
        }
        Write-Host ('{0}: {1}' -f $File.Name, $_.Exception.Message)
        return '000'
    }
    finally {
        if ($target) { $target.Dispose() }
        # What is left of an answer is not wanted, and would be read to its end.
        if ($request) { $request.Abort() }
        if ($source) { $source.Dispose() }
        if ($response) { $response.Dispose() }
    }
}

function Stop-Refused($File, $Status) {
    $now = [DateTime]::UtcNow
    $seconds = [long]($now - [DateTime]'1970-01-01').TotalSeconds
    $text = $now.ToString('yyyy-MM-ddTHH:mm:ssZ', [Globalization.CultureInfo]::InvariantCulture)
    if ($seconds -ge $File.ExpiresSeconds) {
        Complain ('the link has expired: it was good until {0}, and it is {1} now (HTTP status {2})' -f $File.Expires, $text, $Status)
        Stop-All ('Ask {0} for a fresh page or download.ps1 of {1}. The files and their sums are the same, and what has been downloaded stays: run the fresh one in this directory to go on.' -f $Whom, $Build)
    }
    Complain ('{0} refuses the link (HTTP status {1}), though it is good until {2} and this computer''s clock says {3}' -f $Server, $Status, $File.Expires, $text)
    Stop-All ('Either that clock is wrong, or the links were withdrawn, or a proxy or filter in between refuses. Ask {0} for a fresh page of {1} if in doubt.' -f $Whom, $Build)
}

# Whether the whole file has come.
function Receive-File($File, $Part) {
    $stuck = 0
    $anew = 0
    if ($File.Size -eq 0) { [IO.File]::Create($Part).Dispose() }
    if (-not (Test-Path -LiteralPath $Part)) {
        Write-Host ('{0}: downloading {1}' -f $File.Name, (Format-Size $File.Size))
    }
    while ((Get-Size $Part) -lt $File.Size) {
        $have = Get-Size $Part
        $status = Receive-Rest $File $Part
        if ($status -eq '400' -or $status -eq '401' -or $status -eq '403') { Stop-Refused $File $status }
        if ($status -eq '404') {
            Add-Fault ('{0}: is no longer where the link leads (HTTP status 404); ask {1}' -f $File.Name, $Whom)
            return $false
        }
        if ($status -eq '407') { Stop-All 'the proxy asks for a name and password (HTTP status 407) that Windows does not give it' }
        if ($status -like '3??') {
            Stop-All ('{0} answers with a redirect (HTTP status {1}), which it never does by itself: a proxy or filter in between wants something first' -f $Server, $status)
        }
        if ($status -eq '416' -or $status -eq 'ignored') {
            Remove-Item -LiteralPath $Part -Force
            $have = 0
            $anew++
            if ($anew -gt 1) {
                Add-Fault ('{0}: what comes is not this file; it was replaced (ask {1} for a fresh page), or a proxy or filter in between answers instead of {2} or does not let downloads be resumed' -f $File.Name, $Whom, $Server)
                return $false
            }
        }
        if ((Get-Size $Part) -gt $have) { $stuck = 0; continue }
        $stuck++
        if ($stuck -ge $Tries) {
            Add-Fault ('{0}: no further byte came in {1} attempts (HTTP status {2}); what has come is kept in {3}: run this again to go on' -f $File.Name, $Tries, $status, $Part)
            return $false
        }
        Start-Sleep -Seconds ($stuck * $stuck)
    }
    return $true
}

# ---- each file -----------------------------------------------------------------------------------

# Whether the file stands under its name, as sure as can be. Nothing does before it is verified.
function Save-File($File) {
    $path = Join-Path $Here $File.Name
    $part = Get-PartPath $File
    if ($File.Sha256 -eq '-' -and -not $AllowUnverified) {
        Add-Fault ('{0}: its SHA-256 is not known, so it cannot be verified, and it is left out; -AllowUnverified takes it as it comes' -f $File.Name)
        return $false
    }
    if (Test-Path -LiteralPath $path) {
        if ((Test-Path -LiteralPath $path -PathType Leaf) -and (Test-File $File $path)) {
            Write-Host ('{0}: is here already, {1}' -f $File.Name, (Get-Sureness $File))
            return $true
        }
        Add-Fault ('{0}: something else of this name is here already, and it is not replaced; move it away and run this again' -f $File.Name)
        return $false
    }
    if (-not (Receive-File $File $part)) { return $false }
    if (-not (Test-File $File $part)) {
        Remove-Item -LiteralPath $part -Force
        Add-Fault ('{0}: what arrived was thrown away; run this again to download it anew, and if that does not help ask {1}' -f $File.Name, $Whom)
        return $false
    }
    [IO.File]::Move($part, $path)
    Write-Host ('{0}: downloaded, {1}' -f $File.Name, (Get-Sureness $File))
    return $true
}

function Open-Image($File, $Engine) {
    & $Engine load --input (Join-Path $Here $File.Name)
    if ($LASTEXITCODE -ne 0) {
        Add-Fault ('{0}: is here, {1}, but {2} could not load it; its own message says why' -f $File.Name, (Get-Sureness $File), $Engine)
    }
}

# ---- the whole -----------------------------------------------------------------------------------

if ($ExecutionContext.SessionState.LanguageMode -ne 'FullLanguage') {
    Stop-All 'this computer''s policy does not let scripts download (PowerShell runs in a constrained language mode): follow the steps in report.html'
}
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor 3072

foreach ($name in $Names) {
    if (-not ($Files | Where-Object { $_.Name -eq $name })) {
        Complain ('there is no file {0} in this build (-List shows them)' -f $name)
        exit 2
    }
}
$chosen = @($Files | Where-Object { $Names.Count -eq 0 -or $Names -contains $_.Name })
Write-Host $Title
if ($List) {
    foreach ($file in $chosen) {
        Write-Host $file.Name
        Write-Host ('    {0} bytes ({1}), SHA-256 {2}' -f $file.Size, (Format-Size $file.Size), $file.Sha256)
        Write-Host ('    link expires {0}' -f $file.Expires)
    }
    exit 0
}

$engine = $With
if ($Load -and $engine -eq '') {
    $engine = 'docker'
    if (-not (Get-Command docker -ErrorAction SilentlyContinue)) { $engine = 'podman' }
}
if ($engine -ne '' -and -not (Get-Command $engine -ErrorAction SilentlyContinue)) {
    Stop-All ('-Load: there is no {0} here' -f $engine)
}

foreach ($file in $chosen) {
    if (-not (Save-File $file)) { continue }
    if ($engine -ne '' -and $file.Kind -eq 'image') { Open-Image $file $engine }
    if ($file.Kind -eq 'chart') { Write-Host ('{0}: to install it: helm install RELEASE ./{0}' -f $file.Name) }
}
if ($script:Outcome -ne 0) { Stop-All 'not everything is here and verified: see above' }
$unsure = @($chosen | Where-Object { $_.Sha256 -eq '-' }).Count
if ($unsure -gt 0) {
    Write-Host ('All is here: {0} of {0}, of which {1} NOT VERIFIED.' -f $chosen.Count, $unsure)
    exit 0
}
Write-Host ('All is here and verified: {0} of {0}.' -f $chosen.Count)
exit 0
