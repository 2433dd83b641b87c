# A bucket for prereleasefs, with all that docs/aws.md tells of. The JSON policies are the files of
# docs/policies, with names put in: those that the project's tests load into their store.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0, < 7.0"
    }
  }
}

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  policies = "${path.module}/../policies"
  account  = data.aws_caller_identity.current.account_id
  # Names that stand in the files are replaced by those that are meant.
  presign_role_arn = "arn:${data.aws_partition.current.partition}:iam::${local.account}:role/${var.presign_role_name}"
  service_account = replace(replace(file("${local.policies}/service-account.json"),
    "arn:aws:s3:::prerelease-bucket", aws_s3_bucket.prerelease.arn),
  "arn:aws:iam::123456789012:role/S3PresignedURLRole", local.presign_role_arn)
  presign_role  = replace(file("${local.policies}/presign-role.json"), "arn:aws:s3:::prerelease-bucket", aws_s3_bucket.prerelease.arn)
  presign_trust = jsondecode(file("${local.policies}/presign-role-trust.json"))
  lifecycle     = jsondecode(file("${local.policies}/lifecycle.json"))

  # Who publishes: the user, and a role for each environment of GitHub's.
  publishers = concat(aws_iam_user.publisher[*].arn, [for role in aws_iam_role.github : role.arn])
}

# ---- the bucket -------------------------------------------------------------------------------

resource "aws_s3_bucket" "prerelease" {
  bucket = var.bucket
}

resource "aws_s3_bucket_public_access_block" "prerelease" {
  bucket                  = aws_s3_bucket.prerelease.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "prerelease" {
  bucket = aws_s3_bucket.prerelease.id
  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

# What was removed or replaced, by mistake or by who had a key, can be had back for as long as the
# lifecycle keeps it.
resource "aws_s3_bucket_versioning" "prerelease" {
  bucket = aws_s3_bucket.prerelease.id
  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_kms_key" "prerelease" {
  count               = var.kms ? 1 : 0
  description         = "Objects of ${var.bucket}"
  enable_key_rotation = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "prerelease" {
  bucket = aws_s3_bucket.prerelease.id
  rule {
    bucket_key_enabled = var.kms
    apply_server_side_encryption_by_default {
      sse_algorithm     = var.kms ? "aws:kms" : "AES256"
      kms_master_key_id = one(aws_kms_key.prerelease[*].arn)
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "prerelease" {
  bucket     = aws_s3_bucket.prerelease.id
  depends_on = [aws_s3_bucket_versioning.prerelease]

  dynamic "rule" {
    for_each = local.lifecycle.Rules
    content {
      id     = rule.value.ID
      status = rule.value.Status
      filter {
        prefix = startswith(rule.value.Filter.Prefix, ".") ? "${var.prefix}${rule.value.Filter.Prefix}" : rule.value.Filter.Prefix
      }
      dynamic "abort_incomplete_multipart_upload" {
        for_each = try([rule.value.AbortIncompleteMultipartUpload], [])
        content {
          days_after_initiation = abort_incomplete_multipart_upload.value.DaysAfterInitiation
        }
      }
      dynamic "expiration" {
        for_each = try([rule.value.Expiration], [])
        content {
          days                         = try(expiration.value.Days, null)
          expired_object_delete_marker = try(expiration.value.ExpiredObjectDeleteMarker, null)
        }
      }
      dynamic "noncurrent_version_expiration" {
        for_each = try([rule.value.NoncurrentVersionExpiration], [])
        content {
          noncurrent_days = noncurrent_version_expiration.value.NoncurrentDays
        }
      }
    }
  }
}

data "aws_iam_policy_document" "bucket" {
  statement {
    sid       = "OnlyOverTls"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.prerelease.arn, "${aws_s3_bucket.prerelease.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

resource "aws_s3_bucket_policy" "prerelease" {
  bucket = aws_s3_bucket.prerelease.id
  policy = data.aws_iam_policy_document.bucket.json
}

# ---- who publishes ----------------------------------------------------------------------------

resource "aws_iam_user" "publisher" {
  count = var.user == "" ? 0 : 1
  name  = var.user
}

resource "aws_iam_user_policy" "publisher" {
  count  = var.user == "" ? 0 : 1
  name   = "prereleasefs"
  user   = aws_iam_user.publisher[0].name
  policy = local.service_account
}

resource "aws_iam_openid_connect_provider" "github" {
  count          = length(var.github_environments) > 0 ? 1 : 0
  url            = "https://token.actions.githubusercontent.com"
  client_id_list = ["sts.amazonaws.com"]
}

# The environment decides who may start the job: it is what the role trusts, not a branch.
data "aws_iam_policy_document" "github" {
  for_each = var.github_environments
  statement {
    effect  = "Allow"
    actions = ["sts:AssumeRoleWithWebIdentity"]
    principals {
      type        = "Federated"
      identifiers = [aws_iam_openid_connect_provider.github[0].arn]
    }
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values   = ["repo:${each.value.repository}:environment:${each.value.environment}"]
    }
  }
}

resource "aws_iam_role" "github" {
  for_each           = var.github_environments
  name               = each.key
  assume_role_policy = data.aws_iam_policy_document.github[each.key].json
}

resource "aws_iam_role_policy" "github" {
  for_each = var.github_environments
  name     = "prereleasefs"
  role     = aws_iam_role.github[each.key].name
  policy   = local.service_account
}

# That nothing below releases/ is replaced is what the program does; that only a release writes there
# is what S3 can see to.
data "aws_iam_policy_document" "no_releases" {
  statement {
    effect    = "Deny"
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.prerelease.arn}/${var.prefix}releases/*"]
  }
}

resource "aws_iam_role_policy" "no_releases" {
  for_each = { for name, what in var.github_environments : name => what if !what.releases }
  name     = "no-releases"
  role     = aws_iam_role.github[each.key].name
  policy   = data.aws_iam_policy_document.no_releases.json
}

# ---- who signs links --------------------------------------------------------------------------

resource "aws_iam_role" "presign" {
  name                 = var.presign_role_name
  max_session_duration = 43200
  assume_role_policy = jsonencode(merge(local.presign_trust, {
    Statement = [for statement in local.presign_trust.Statement :
    merge(statement, { Principal = { AWS = local.publishers } })]
  }))
  lifecycle {
    precondition {
      condition     = length(local.publishers) > 0
      error_message = "Nobody would publish: set user, or github_environments."
    }
  }
}

resource "aws_iam_role_policy" "presign" {
  name   = "prereleasefs"
  role   = aws_iam_role.presign.name
  policy = local.presign_role
}

# ---- the key, where there is one --------------------------------------------------------------

# Who writes needs both: parts of an upload are encrypted, and read again when it is completed.
data "aws_iam_policy_document" "write_key" {
  count = var.kms ? 1 : 0
  statement {
    actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
    resources = aws_kms_key.prerelease[*].arn
  }
}

data "aws_iam_policy_document" "read_key" {
  count = var.kms ? 1 : 0
  statement {
    actions   = ["kms:Decrypt"]
    resources = aws_kms_key.prerelease[*].arn
  }
}

resource "aws_iam_user_policy" "publisher_key" {
  count  = var.kms && var.user != "" ? 1 : 0
  name   = "prereleasefs-key"
  user   = aws_iam_user.publisher[0].name
  policy = data.aws_iam_policy_document.write_key[0].json
}

resource "aws_iam_role_policy" "github_key" {
  for_each = { for name, what in var.github_environments : name => what if var.kms }
  name     = "prereleasefs-key"
  role     = aws_iam_role.github[each.key].name
  policy   = data.aws_iam_policy_document.write_key[0].json
}

resource "aws_iam_role_policy" "presign_key" {
  count  = var.kms ? 1 : 0
  name   = "prereleasefs-key"
  role   = aws_iam_role.presign.name
  policy = data.aws_iam_policy_document.read_key[0].json
}
