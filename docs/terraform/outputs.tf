output "presign_role" {
  description = "For -o presign_role="
  value       = aws_iam_role.presign.arn
}

output "kms_key" {
  description = "For -o kms_key=; null without one"
  value       = one(aws_kms_key.prerelease[*].arn)
}

output "github_roles" {
  description = "For the variables PRERELEASE_ROLE and RELEASE_ROLE"
  value       = { for name, role in aws_iam_role.github : name => role.arn }
}
