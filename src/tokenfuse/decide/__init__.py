"""Rule x scope x now to verdict; verdicts to alert lifecycle, incidents and kill decisions. Pure."""
